"""Containers through PyAV: opened safely, their camera streams chosen, their packets indexed.

The bytes reach FFmpeg through a Python file, so it can open no address and no other file, and only demuxers
and decoders on our lists may read them: a playlist or script under a video's name is refused. Decoding runs
in this process, bounded by the budget; the service lets `isolated` run it in others.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import av.error

from deepfakestream.errors import Reason
from deepfakestream.media.timeline import Packets, Timeline, build_timeline
from deepfakestream.media.types import MediaBudget, NoteCode, Record, Stopwatch

DEMUXERS = "matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ogg,ivf,obu,mxf,dv"
MOVIE_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's MP4 demuxer by its names. It believes what boxes claim, so it gets only checked files."""
DECODERS = (
    "h264,hevc,vvc,libdav1d,av1,vp8,vp9,libvpx,libvpx-vp9,mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v1,"
    "msmpeg4v2,msmpeg4,h263,h263i,flv,vp6,vp6a,vp6f,theora,wmv1,wmv2,wmv3,vc1,mjpeg,prores,dnxhd,dvvideo,ffv1,"
    "huffyuv,ffvhuff,utvideo,magicyuv,rawvideo,v210,r210,png,qtrle,cfhd,jpeg2000,libopenjpeg,svq1,svq3,cinepak"
)
_ENDS_STATED = frozenset({"matroska", "flv", "avi"})
"""Formats whose stated length is the time of the end, wherever the film begins."""
MAX_PACKETS = 2_000_000
MAX_STREAMS = 64
"""Streams of any kind in a container."""
_RECORDINGS = frozenset({"mpegts", "mpeg", "ogg"})
"""Formats whose clocks FFmpeg, too, expects to leap."""


class _Section(io.RawIOBase):
    """A file, or a part of one, as FFmpeg reads it."""

    def __init__(self, path: Path, section: tuple[int, int]) -> None:
        self._file = path.open("rb")
        self._start, self._end = section
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end - self._start}[whence]
        if origin + offset < 0:
            return -errno.EINVAL  # FFmpeg's way to say so; PyAV would print the traceback of an exception
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._end - self._start - self._position)
        if not left:
            return b""
        self._file.seek(self._start + self._position)
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def open_container(path: Path, section: tuple[int, int], demuxer: str | None, files: ExitStack) -> Any:
    """Return PyAV's container for a section of a file.

    Args:
        path: the file.
        section: first byte of the part that is read, and the one after its last.
        demuxer: name in FFmpeg; None: FFmpeg finds out, among the allowed ones.
        files: closes the container.

    Raises:
        av.error.FFmpegError, OSError, ValueError: FFmpeg cannot read it.
    """
    container = av.open(
        files.enter_context(_Section(path, section)),
        mode="r",
        format=demuxer,
        options={
            "format_whitelist": MOVIE_DEMUXERS if demuxer == "mov" else DEMUXERS,
            "codec_whitelist": DECODERS,
            "protocol_whitelist": "",
            "max_streams": str(MAX_STREAMS),
        },
        metadata_errors="ignore",
    )
    return files.enter_context(container)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedStream:
    """A picture stream and its frames."""

    index: int
    codec: str
    width_px: int
    height_px: int
    pixel_aspect: Fraction | None
    is_default: bool
    is_cover: bool
    """A picture that goes with the film, not part of it."""
    rate: float | None
    bit_rate_bps: int | None
    stated_s: float | None
    """Length by the header; None where it does not say, or may mean another stream."""
    problem: str | None
    """Why it cannot be decoded; None where it can."""
    is_encrypted: bool
    timeline: Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSection:
    """A section of a file and its picture streams."""

    section: tuple[int, int]
    container: str
    streams: tuple[IndexedStream, ...]


def index_section(
    path: Path,
    section: tuple[int, int],
    demuxer: str | None,
    budget: MediaBudget,
    watch: Stopwatch,
    record: Record,
) -> IndexedSection:
    """Read all packets of a section once, without decoding.

    Args:
        path: the file.
        section: first byte of the part that is read, and the one after its last.
        demuxer: name in FFmpeg; None: FFmpeg finds out, among the allowed ones.
        budget: how much is read at most.
        watch: time that is left.
        record: says what cut the reading short.

    Raises:
        av.error.FFmpegError, OSError, ValueError: FFmpeg cannot read it.
    """
    with ExitStack() as files:
        container = open_container(path, section, demuxer, files)
        streams = list(container.streams.video)
        packets = {stream.index: Packets([], [], [], [], []) for stream in streams}
        encrypted: set[int] = set()
        if streams:
            _read_packets(container, streams, packets, encrypted, budget, watch, record)
        return IndexedSection(
            section=section,
            container=container.format.name.split(",")[0],
            streams=tuple(
                _indexed(container, stream, packets[stream.index], stream.index in encrypted)
                for stream in streams
            ),
        )


def _read_packets(
    container: Any,
    streams: Sequence[Any],
    packets: dict[int, Packets],
    encrypted: set[int],
    budget: MediaBudget,
    watch: Stopwatch,
    record: Record,
) -> None:
    count = 0
    try:
        for packet in container.demux(*streams):
            if packet.size == 0:
                continue
            own = packets[packet.stream_index]
            if not own.shown and packet.has_sidedata("encryption_info"):
                encrypted.add(packet.stream_index)
            own.decoding.append(packet.dts)
            own.shown.append(packet.pts)
            own.held.append(packet.duration or 0)
            own.is_key.append(packet.is_keyframe)
            own.is_hidden.append(packet.is_discard)
            count += 1
            if count >= MAX_PACKETS or watch.elapsed_s > budget.max_wall_s:
                record.found_reasons.add(Reason.TIME_BUDGET)
                return
    except (av.error.FFmpegError, OSError):
        record.found_reasons.add(Reason.TRUNCATED)
    except IndexError:  # PyAV, where a stream came late: what was there at first has been read
        record.add(
            NoteCode.STREAM_SKIPPED,
            "a stream that begins later in the file was not searched",
            Reason.PART_NOT_SEARCHED,
        )


def _indexed(container: Any, stream: Any, packets: Packets, is_encrypted: bool) -> IndexedStream:
    context = stream.codec_context
    disposition = av.stream.Disposition
    covers = disposition.attached_pic | disposition.timed_thumbnails | disposition.still_image
    rate = stream.average_rate or stream.guessed_rate
    width_px, height_px = (stream.width, stream.height) if context is not None else (0, 0)
    is_known = context is not None and context.name in DECODERS.split(",")
    problem = None
    if not is_known:
        name = context.name if context is not None else "unknown"
        problem = f"its codec ({name}) is unknown or not allowed"
    elif not (width_px and height_px):
        problem = "its header states no picture size"
    return IndexedStream(
        index=stream.index,
        codec=context.codec.canonical_name if context is not None else "unknown",
        width_px=width_px,
        height_px=height_px,
        pixel_aspect=stream.sample_aspect_ratio if context is not None else None,
        is_default=bool(int(stream.disposition) & int(disposition.default)),
        is_cover=bool(int(stream.disposition) & int(covers)),
        rate=float(rate) if rate else None,
        bit_rate_bps=(context.bit_rate if context is not None else None) or container.bit_rate or None,
        stated_s=_stated_s(container, stream),
        problem=problem,
        is_encrypted=is_encrypted,
        timeline=_timeline(container, stream, packets, rate),
    )


def _timeline(container: Any, stream: Any, packets: Packets, rate: Fraction | None) -> Timeline:
    """Return the stream's clock; where its times make no sense, what an edit list hides by them is shown."""
    build = partial(
        build_timeline,
        packets,
        unit_s=float(stream.time_base or Fraction(1, 1000)),
        rate=float(rate) if rate else None,
        stated_s=_stated_s(container, stream),
        reorder_depth=stream.codec_context.reorder_depth if stream.codec_context is not None else 0,
        may_be_joined=container.format.name.split(",")[0] in _RECORDINGS,
    )
    timeline = build()
    if any(packets.is_hidden) and (timeline.is_counted or timeline.num_restarts):
        packets.is_hidden = [False] * len(packets.is_hidden)
        timeline = build()
    return timeline


def _stated_s(container: Any, stream: Any) -> float | None:
    """Return the length by the header; None where it does not say, or may mean another stream."""
    if stream.duration and stream.duration > 0:
        length, begins_at, unit_s = stream.duration, stream.start_time, stream.time_base
    elif len(container.streams) == 1 and container.duration and container.duration > 0:
        length, begins_at, unit_s = container.duration, container.start_time, Fraction(1, av.time_base)
    else:
        return None
    if container.format.name.split(",")[0] in _ENDS_STATED:
        length -= max(0, begins_at or 0)
    return float(length * unit_s) if length > 0 else None
