"""The wanted frames of one stream: packets that no wanted frame needs are passed over.

Passing over packets works in every container, also where times repeat and seeking would land anywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from deepfakestream.errors import Reason
from deepfakestream.media.demuxing import open_container
from deepfakestream.media.timeline import MIN_SKIPPED_FRAMES, Timeline
from deepfakestream.media.types import MediaBudget, NoteCode, Record, RGBImage, Stopwatch
from deepfakestream.media.video_frames import deinterlaced, viewed_rgb

NUM_THREADS = 1
"""Decoder threads. With several, a damaged file gives other frames on each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stream of one section of a file."""

    section: tuple[int, int]
    """First byte and the one after the last."""
    demuxer: str | None
    """FFmpeg's name of the format; None where it finds out."""
    stream_index: int
    timeline: Timeline


@dataclass(slots=True)
class Meter:
    """What decoding one file has cost so far."""

    budget: MediaBudget
    watch: Stopwatch = field(default_factory=Stopwatch)
    num_decoded: int = 0

    @property
    def is_late(self) -> bool:
        """Whether the seconds of the budget are spent."""
        return self.watch.elapsed_s > self.budget.max_wall_s

    @property
    def is_spent(self) -> bool:
        """Whether the seconds or the frames of the budget are spent."""
        return self.is_late or self.num_decoded >= self.budget.max_decoded_frames


class PieceReader:
    """Decodes forwards through one piece and remembers how far it got."""

    def __init__(self, path: Path, piece: Piece, meter: Meter, record: Record, files: ExitStack) -> None:
        """Open the piece.

        Raises:
            MediaError: it cannot be opened.
        """
        self._path = path
        self._piece = piece
        self._meter = meter
        self._record = record
        self._container = open_container(path, piece.section, piece.demuxer, files)
        self._stream = self._container.streams[piece.stream_index]
        self._codec = self._stream.codec_context
        self._codec.thread_type = "NONE"
        self._codec.thread_count = NUM_THREADS
        self._codec.options = {"max_pixels": str(meter.budget.max_pixels)}
        self._codec.copy_opaque = True
        self._initial_aspect = self._codec.sample_aspect_ratio
        self._packets = self._demux()
        self._pictures: deque[Any] = deque()
        self._before: Any | None = None
        self._last_fed = -1
        self._begin_at = self._part = 0
        self._count = 0
        self._reached = -1
        self._ranks = np.full(piece.timeline.num_packets + 1, -1, dtype=np.int64)
        self._ranks[piece.timeline.ordinals] = np.arange(len(piece.timeline.ordinals))

    def peek(self) -> Any | None:
        """Return the next frame that can be decoded, without taking it; None where there is none."""
        picture = self._pull()
        if picture is not None:
            self._meter.num_decoded -= 1
            self._pictures.appendleft(picture)
        return picture

    @property
    def pixel_aspect(self) -> Any:
        """Width over height of the pixels of the frame that was decoded last; None where nothing says."""
        if self._codec.sample_aspect_ratio != self._initial_aspect:
            return self._codec.sample_aspect_ratio
        return self._stream.sample_aspect_ratio

    def read(self, positions: tuple[int, ...]) -> Iterator[tuple[int, RGBImage]]:
        """Yield position and pixels `(height, width, 3)` of the first whole frame from each wanted one on.

        Args:
            positions: of the wanted frames, in order of time.

        Raises:
            MediaError: a frame has more pixels than the budget allows, or colours that cannot be shown.
        """
        for position in positions:
            if self._reached >= position:
                continue
            start = int(self._piece.timeline.starting_points[position])
            part = int(self._piece.timeline.parts[position])
            # nothing of a recording that was joined may be decoded with what another one left behind
            if start - self._last_fed > MIN_SKIPPED_FRAMES or (part != self._part and start > self._last_fed):
                self._begin_at, self._part = start, part
                self._pictures.clear()
            picture = self._advance_to(position)
            if picture is None:
                return
            self._meter.budget.check_pixels(self._path, (picture.width, picture.height))
            yield (
                self._reached,
                viewed_rgb(
                    self._path,
                    self._whole_frame(picture),
                    pixel_aspect=self.pixel_aspect,
                    budget=self._meter.budget,
                    record=self._record,
                ),
            )

    def _advance_to(self, position: int) -> Any | None:
        """Return the first whole frame at the position or after it; None where no more can be had."""
        while (picture := self._pull()) is not None:
            rank = self._rank(picture)
            if rank >= position and not picture.is_corrupt:
                self._reached = rank
                return picture
            if picture.is_corrupt:
                self._record.found_reasons.add(Reason.TRUNCATED)
            self._before = picture
        if not self._meter.is_spent:
            self._record.found_reasons.add(Reason.TRUNCATED)
        return None

    def _rank(self, picture: Any) -> int:
        """Return the frame's position in the order of showing, -1 for one that is not shown."""
        if self._piece.timeline.is_counted or picture.opaque is None:
            self._count += 1
            # a packet of a damaged film may give two pictures, so that there are more of them than packets
            return min(self._count, len(self._piece.timeline.ordinals)) - 1
        rank = int(self._ranks[picture.opaque])
        self._count = rank + 1 if rank >= 0 else self._count
        return rank

    def _whole_frame(self, picture: Any) -> Any:
        """Return the frame, deinterlaced where it says that it is interlaced."""
        before, self._before = self._before, picture
        if not picture.interlaced_frame:
            return picture
        self._record.add(NoteCode.DEINTERLACED, "interlaced frames were deinterlaced")
        return deinterlaced(before, picture, self.peek())

    def _pull(self) -> Any | None:
        """Return the next decoded frame; None at the end, or where the budget is spent."""
        while not self._pictures:
            if self._meter.is_spent:
                self._record.found_reasons.add(Reason.TIME_BUDGET)
                return None
            ordinal, packet = next(self._packets, (-1, None))
            if packet is None:
                return None
            if ordinal >= 0:
                if ordinal < self._begin_at:
                    continue
                if ordinal == self._begin_at > 0:
                    self._codec.flush_buffers()
                    self._before = None
                    self._count = int(np.searchsorted(self._piece.timeline.ordinals, ordinal))
                self._last_fed = ordinal
                if packet.is_discard and self._ranks[ordinal] >= 0:
                    packet = _shown(packet)
                packet.opaque = ordinal
            self._decode(packet)
        self._meter.num_decoded += 1
        return self._pictures.popleft()

    def _decode(self, packet: Any) -> None:
        try:
            self._pictures.extend(self._codec.decode(packet if packet.size else None))
        except (av.error.FFmpegError, OSError):
            self._record.found_reasons.add(Reason.TRUNCATED)

    def _demux(self) -> Iterator[tuple[int, Any]]:
        """Yield packets with their number in the order of decoding; -1 for the one that ends the stream.

        Packets that the index does not know, as its reading was cut short, are not decoded.
        """
        ordinal = 0
        try:
            for packet in self._container.demux(self._stream):
                if self._meter.is_late:
                    self._record.found_reasons.add(Reason.TIME_BUDGET)
                    return
                if packet.size and ordinal == self._piece.timeline.num_packets:
                    yield -1, av.Packet()
                    return
                if packet.size:
                    yield ordinal, packet
                    ordinal += 1
                else:
                    yield -1, packet
        except (av.error.FFmpegError, OSError, IndexError):  # IndexError: PyAV, where a stream came late
            self._record.found_reasons.add(Reason.TRUNCATED)


def _shown(packet: Any) -> Any:
    """Return a packet whose frame an edit list would hide as one that the decoder shows."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
    copy.is_keyframe = packet.is_keyframe
    return copy
