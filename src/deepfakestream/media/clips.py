"""Videos: every camera stream of a file as frames on one clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import av.error
import numpy as np

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.clip_frames import Meter, Piece, PieceReader
from deepfakestream.media.containers import Layout, is_heic, read_layout, sniff
from deepfakestream.media.demuxing import IndexedSection, IndexedStream, index_section
from deepfakestream.media.timeline import plan, spread
from deepfakestream.media.types import Frame, MediaBudget, MediaInfo, NoteCode, Record
from deepfakestream.media.video_frames import picture_orientation, square_size, viewed_size

_ALLOWED_SHORTFALL_S = 1.0
_ALLOWED_SHORTFALL_SHARE = 0.15
_ALLOWED_UNDECODABLE_SHARE = 0.1


class Clip:
    """A video, indexed by its packets; its main stream has the number 0."""

    def __init__(
        self, path: Path, head: bytes, budget: MediaBudget, record: Record, files: ExitStack
    ) -> None:
        """Read the index, choose the camera streams and decode the first frame.

        Raises:
            MediaError: not a video that we read, none of its streams can be searched, or over the budget.
        """
        if is_heic(head):  # FFmpeg would show one tile of it
            raise MediaError(
                Reason.UNSUPPORTED_FORMAT,
                f"{path.name}: HEIC pictures are not read; convert it to JPEG or PNG",
            )
        self._path = path
        self._budget = budget
        self._record = record
        self._files = files
        self._meter = Meter(budget)
        layout = read_layout(path, head)
        if layout.encryption is not None:
            raise _encrypted(path, layout.encryption)
        if layout.is_joined:
            record.add(
                NoteCode.PART_SKIPPED,
                "a second file follows the first, which players do not show; it was not searched",
                Reason.PART_NOT_SEARCHED,
            )
        sections = self._index(layout, head)
        self._tracks, self._main = self._choose(sections, layout.demuxer)
        self._check_lengths()
        self._first = self._reader(self._tracks[0][0])
        self.info = self._facts(sections[0].container)

    def frames(self, num_frames: int) -> Iterator[Frame]:
        """Yield frames of each camera stream, spread evenly over its time."""
        index = 0
        for number, pieces in enumerate(self._tracks):
            for frame in self._read(pieces, num_frames, stream=number):
                self._meter.watch.pause()
                yield replace(frame, index=index)
                self._meter.watch.resume()
                index += 1

    def _index(self, layout: Layout, head: bytes) -> list[IndexedSection]:
        sections: list[IndexedSection] = []
        for section in layout.sections:
            try:
                sections.append(
                    index_section(
                        self._path, section, layout.demuxer, self._budget, self._meter.watch, self._record
                    )
                )
            except (av.error.FFmpegError, OSError, ValueError) as error:
                if len(layout.sections) == 1:
                    raise _refusal(self._path, layout, head) from error
                self._record.add(
                    NoteCode.PART_SKIPPED,
                    "a part of the recording cannot be read and was not searched",
                    Reason.TRUNCATED,
                )
        if not sections:
            raise _refusal(self._path, layout, head)
        return sections

    def _choose(
        self, sections: Sequence[IndexedSection], demuxer: str | None
    ) -> tuple[list[list[Piece]], IndexedStream]:
        """Return the pieces of each camera stream, the main one first, and the main one's facts."""
        tracks: list[list[Piece]] = []
        main: IndexedStream | None = None
        refusals: list[MediaError] = []
        for section in sections:
            try:
                streams = _camera_streams(self._path, section, self._budget, self._record)
            except MediaError as error:
                refusals.append(error)
                continue
            main = main or streams[0]
            for number, stream in enumerate(streams):
                if number == len(tracks):
                    tracks.append([])
                tracks[number].append(
                    Piece(
                        section=section.section,
                        demuxer=demuxer,
                        stream_index=stream.index,
                        timeline=stream.timeline,
                    )
                )
        if main is None:
            raise refusals[0]
        if refusals:
            self._record.add(
                NoteCode.PART_SKIPPED,
                f"a part of the recording was not searched: {refusals[0]}",
                Reason.PART_NOT_SEARCHED,
            )
        return tracks, main

    def _check_lengths(self) -> None:
        pieces = self._tracks[0]
        timelines = [piece.timeline for piece in pieces]
        self._budget.check_duration(self._path, sum(timeline.film_s for timeline in timelines))
        jumps = sum(t.num_restarts + t.num_leaps for t in timelines) + len(pieces) - 1
        if jumps:
            self._record.add(
                NoteCode.CLOCK_REPAIRED,
                f"its clock starts again or leaps: {jumps + 1} parts were put one after the other",
            )
        if any(timeline.is_counted for timeline in timelines) and len(timelines[0].ordinals) > 1:
            self._record.add(
                NoteCode.CLOCK_REPAIRED, "its frames have no times of their own and were counted"
            )
        for timeline in timelines:
            lost = timeline.num_undecodable
            share = lost / max(1, len(timeline.ordinals) + lost)
            if share > _ALLOWED_UNDECODABLE_SHARE:
                self._record.add(
                    NoteCode.PART_SKIPPED,
                    f"{lost} frames before the first keyframe cannot be decoded",
                    Reason.TRUNCATED,
                )
        stated_s = self._main.stated_s
        if stated_s is None or jumps or Reason.TIME_BUDGET in self._record.found_reasons:
            return
        missing_s = stated_s - self._main.timeline.duration_s
        if missing_s > max(_ALLOWED_SHORTFALL_S, _ALLOWED_SHORTFALL_SHARE * stated_s):
            self._record.found_reasons.add(Reason.TRUNCATED)

    def _facts(self, container: str) -> MediaInfo:
        main, pieces = self._main, self._tracks[0]
        size_px = main.width_px, main.height_px
        turns, aspect = 0, main.pixel_aspect
        first = self._first.peek()
        if first is not None:
            size_px = first.width, first.height
            turns, _ = picture_orientation(first)
            aspect = self._first.pixel_aspect
        self._budget.check_pixels(self._path, size_px)
        width_px, height_px = viewed_size(*square_size(*size_px, aspect, self._budget.max_pixels), turns)
        num_frames = sum(len(piece.timeline.ordinals) for piece in pieces)
        duration_s = sum(piece.timeline.duration_s for piece in pieces)
        rate = main.rate
        if (rate is None or not 0 < rate <= 1000) and duration_s > 0:
            rate = num_frames / duration_s
        return MediaInfo(
            kind="video",
            container=container,
            codec=main.codec,
            width_px=width_px,
            height_px=height_px,
            size_bytes=self._path.stat().st_size,
            duration_s=duration_s,
            fps=rate,
            num_frames=num_frames,
            bit_rate_bps=main.bit_rate_bps,
        )

    def _read(self, pieces: Sequence[Piece], num_frames: int, *, stream: int) -> Iterator[Frame]:
        """Yield frames spread over the pieces of one stream."""
        unit_s = pieces[0].timeline.unit_s
        lengths = np.concatenate([p.timeline.durations * (p.timeline.unit_s / unit_s) for p in pieces])
        wanted = spread(lengths, num_frames)
        left = max(1, (self._budget.max_decoded_frames - self._meter.num_decoded) // len(self._tracks))
        starts_s = [0.0, *accumulate(piece.timeline.duration_s for piece in pieces)]
        firsts = [0, *accumulate(len(piece.timeline.ordinals) for piece in pieces)]
        first_parts = [0, *accumulate(int(piece.timeline.parts.max(initial=0)) + 1 for piece in pieces)]
        count = 0
        for number, piece in enumerate(pieces):
            own = [p - firsts[number] for p in wanted if firsts[number] <= p < firsts[number + 1]]
            if not own:
                continue
            planned = plan(piece.timeline, own, max(1, left * len(own) // len(wanted)))
            if planned.leaves_out > 1 / num_frames:
                self._record.add(
                    NoteCode.PART_SKIPPED,
                    "keyframes lie so far apart that only the beginning of what follows them was searched",
                    Reason.TIME_BUDGET,
                )
            reader = self._first if stream == 0 and number == 0 else self._reader(piece)
            piece_starts_s = piece.timeline.starts_s
            for position, rgb in reader.read(planned.positions):
                yield Frame(
                    index=count,
                    time_s=starts_s[number] + float(piece_starts_s[position]),
                    rgb=rgb,
                    stream=stream,
                    part=first_parts[number] + int(piece.timeline.parts[position]),
                )
                count += 1
        self._record.add(
            NoteCode.SEARCHED,
            f"searched {count} of {firsts[-1]} frames{f' of picture stream {stream}' if stream else ''}, "
            f"over {starts_s[-1]:.1f} s",
        )

    def _reader(self, piece: Piece) -> PieceReader:
        return PieceReader(self._path, piece, self._meter, self._record, self._files)


def _camera_streams(
    path: Path, section: IndexedSection, budget: MediaBudget, record: Record
) -> list[IndexedStream]:
    """Return the streams that are searched, the main one first; the record says which are not, and why.

    Players choose by the mark "default", then by size; a single picture next to moving ones is a preview.

    Raises:
        MediaError: there is none.
    """
    films = [stream for stream in section.streams if not stream.is_cover]
    if not films:
        raise MediaError(
            Reason.NO_VIDEO_STREAM,
            f"{path.name}: holds no pictures, only sound or data; choose a file with video",
        )
    if all(stream.is_encrypted for stream in films):
        raise _encrypted(path, "its packets say so")
    fitting = [s for s in films if s.problem is None and s.width_px * s.height_px <= budget.max_pixels]
    if not fitting:
        if films[0].problem is None:
            budget.check_pixels(path, (films[0].width_px, films[0].height_px))
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: {films[0].problem}; convert the file to H.264 in MP4",
        )
    readable = [stream for stream in fitting if not stream.is_encrypted and len(stream.timeline.ordinals)]
    moving = [stream for stream in readable if len(stream.timeline.ordinals) > 1]
    ranked = sorted(
        moving or readable or fitting[:1],
        key=lambda s: (-s.is_default, -s.width_px * s.height_px, -len(s.timeline.ordinals), s.index),
    )
    searched = ranked[: budget.max_streams]
    for stream in section.streams:
        if stream in searched:
            continue
        is_preview = stream.is_cover or (stream in readable and stream not in moving)
        record.add(
            NoteCode.STREAM_SKIPPED,
            f"picture stream {stream.index} ({stream.codec}, {stream.width_px} x {stream.height_px}) was not "
            f"searched: {_why_not(stream, is_preview=is_preview, is_fitting=stream in fitting)}",
            None if is_preview else Reason.PART_NOT_SEARCHED,
        )
    return [replace(stream) for stream in searched]


def _why_not(stream: IndexedStream, *, is_preview: bool, is_fitting: bool) -> str:
    if is_preview:
        return "it is a single picture that goes with the film"
    if stream.problem is not None:
        return stream.problem
    if stream.is_encrypted:
        return "it is encrypted"
    if not is_fitting:
        return "it has more pixels than the limit"
    return (
        "it has no frames" if not len(stream.timeline.ordinals) else "there are more streams than the limit"
    )


def _encrypted(path: Path, how: str) -> MediaError:
    return MediaError(
        Reason.UNSUPPORTED_FORMAT, f"{path.name}: its pictures are encrypted {how}; decrypt the file first"
    )


def _refusal(path: Path, layout: Layout, head: bytes) -> MediaError:
    if layout.lacks_header:
        return MediaError(
            Reason.TRUNCATED,
            f"{path.name}: cut off before its index was written (no moov box); get a whole copy",
        )
    if sniff(head) is not None:
        return MediaError(
            Reason.UNREADABLE, f"{path.name}: damaged, its header cannot be read; get a whole copy"
        )
    return MediaError(
        Reason.UNSUPPORTED_FORMAT,
        f"{path.name}: not an image or video that can be read; convert it to JPEG, PNG or H.264 in MP4",
    )
