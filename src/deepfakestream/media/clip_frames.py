"""The wanted frames of a video: seek where that saves decoding, else decode on; convert only those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import av.error
import numpy as np

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.clip_index import ClipIndex, read_index
from deepfakestream.media.clips import open_clip, quarter_turns
from deepfakestream.media.limits import check_duration, check_pixels
from deepfakestream.media.schedule import spread
from deepfakestream.media.stopwatch import Stopwatch
from deepfakestream.media.types import Frame, MediaBudget, RGBImage

MIN_SKIPPED_FRAMES = 24
"""A seek that saves fewer decoded frames is not worth its own cost."""


def clip_frames(path: Path, num_frames: int, budget: MediaBudget, notes: set[Reason]) -> Iterator[Frame]:
    """Yield upright frames spread evenly over the clip; adds to `notes` what cut it short.

    Raises:
        MediaError: the file cannot be read, or turns out to be over the budget.
    """
    watch = Stopwatch()
    with open_clip(path, budget) as (container, stream):
        index = read_index(container, stream, budget, watch, notes)
    check_duration(path, index.duration_s, budget)
    wanted = _affordable(index, num_frames, budget)
    with open_clip(path, budget) as (container, stream):
        reader = _Reader(container, stream, index, budget, watch, notes)
        for position, (time, picture) in enumerate(reader.read(wanted)):
            check_pixels(path, (picture.width, picture.height), budget)
            time_s = (time - index.times[0]) * index.unit_s
            frame = Frame(index=position, time_s=time_s, rgb=_converted(path, picture))
            watch.pause()
            yield frame
            watch.resume()


def _converted(path: Path, picture: Any) -> RGBImage:
    try:
        return upright_rgb(picture)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: its colours (matrix {int(picture.colorspace)}) cannot be turned into RGB; "
            "convert the video to BT.709",
        ) from error


def upright_rgb(picture: Any) -> RGBImage:
    """Return a decoded frame as RGB, turned as its display matrix says.

    The stream's colour matrix and range apply; where it states none, BT.601, as common decoders assume.
    """
    return np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), quarter_turns(picture)))


def _affordable(index: ClipIndex, num_frames: int, budget: MediaBudget) -> list[int]:
    """Return the times to read: exact ones where decoding up to them is within the budget, else keyframes."""
    chosen = [index.times[i] for i in spread(index.times, index.last_shown, num_frames)]
    if decoding_cost(index, chosen) <= budget.max_decoded_frames or not index.keyframes:
        return chosen
    keyframes = [index.keyframe_before(time) for time in chosen]
    return sorted({index.keyframes[0] if time is None else time for time in keyframes})


def decoding_cost(index: ClipIndex, wanted: Sequence[int]) -> int:
    """Return how many frames must be decoded to reach the wanted times, seeking where that helps."""
    position_of = {time: position for position, time in enumerate(index.times)}
    cost, reached = 0, -1
    for time in wanted:
        keyframe = index.keyframe_before(time)
        start = max(reached, position_of.get(keyframe, 0) - 1 if keyframe is not None else -1)
        cost += position_of[time] - start
        reached = position_of[time]
    return cost


class _Reader:
    """Decodes forwards through one open container and remembers how far it got."""

    def __init__(
        self,
        container: Any,
        stream: Any,
        index: ClipIndex,
        budget: MediaBudget,
        watch: Stopwatch,
        notes: set[Reason],
    ) -> None:
        self._container = container
        self._stream = stream
        self._index = index
        self._budget = budget
        self._watch = watch
        self._notes = notes
        self._num_decoded = 0
        self._reached: int | None = None
        self._pictures = self._decode()

    def read(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Yield time and picture of the first whole frame at or after each wanted time."""
        for time in wanted:
            if self._reached is not None and self._reached >= time:
                continue
            self._seek_if_nearer(time)
            found = self._advance_to(time)
            if found is None:
                return
            self._reached, _ = found
            yield found

    def _advance_to(self, time: int) -> tuple[int, Any] | None:
        """Return time and picture of the first whole frame from there on; None where no more can be had."""
        for picture in self._pictures:
            if self._num_decoded >= self._budget.max_decoded_frames or self._is_late():
                self._notes.add(Reason.TIME_BUDGET)
                return None
            shown = picture.pts if self._index.is_timed else self._num_decoded
            self._num_decoded += 1
            if shown is None or shown < time:
                continue
            if picture.is_corrupt:
                self._notes.add(Reason.TRUNCATED)
                continue
            return int(shown), picture
        self._notes.add(Reason.TRUNCATED)
        return None

    def _seek_if_nearer(self, time: int) -> None:
        """Seek when that skips enough frames; a demuxer without an exact index may land late, so look."""
        keyframe = self._index.keyframe_before(time)
        if not self._index.is_timed or keyframe is None:
            return
        if self._index.num_between(self._reached, keyframe) < MIN_SKIPPED_FRAMES:
            return
        for target in self._index.keyframes_back_from(keyframe):
            first = self._seek(target)
            if first is not None and first.pts is not None and first.pts <= time:
                return

    def _seek(self, target: int) -> Any | None:
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError):
            return None  # decode on from where we are
        pictures = self._decode()
        first = next(pictures, None)
        self._pictures = pictures if first is None else chain([first], pictures)
        return first

    def _decode(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux(self._stream):
                if self._is_late():
                    self._notes.add(Reason.TIME_BUDGET)
                    return
                yield from self._pictures_of(packet)
        except (av.error.FFmpegError, OSError):
            self._notes.add(Reason.TRUNCATED)

    def _pictures_of(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except (av.error.FFmpegError, OSError):
            self._notes.add(Reason.TRUNCATED)
            return []

    def _is_late(self) -> bool:
        return self._watch.elapsed_s > self._budget.max_wall_s
