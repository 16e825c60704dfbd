"""Videos through PyAV: open safely, read facts from the headers.

The bytes reach FFmpeg through a Python file, so it can open no address and no other file, and only demuxers
and decoders on our lists may read them: a playlist or script under a video's name is refused. Decoding runs
in this process, bounded by the budget: a service that takes strangers' files runs without network and rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.limits import check_duration, check_pixels
from deepfakestream.media.signatures import is_heic, lacks_movie_header, read_head, sniff
from deepfakestream.media.types import MediaBudget, MediaInfo

DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ogg,ivf,obu,mxf,dv"
)
DECODERS = (
    "h264,hevc,vvc,libdav1d,av1,vp8,vp9,libvpx,libvpx-vp9,mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v1,"
    "msmpeg4v2,msmpeg4,h263,h263i,flv,vp6,vp6a,vp6f,theora,wmv1,wmv2,wmv3,vc1,mjpeg,prores,dnxhd,dvvideo,ffv1,"
    "huffyuv,rawvideo,png,svq1,svq3,cinepak"
)
NUM_THREADS = 1
"""Decoder threads. With several, a damaged file gives other frames on each run."""


@contextmanager
def open_clip(path: Path, budget: MediaBudget) -> Iterator[tuple[Any, Any]]:
    """Yield PyAV's container and its picture stream, ready to decode; both are closed afterwards.

    Raises:
        MediaError: not a video that we read, no picture stream, or one of a forbidden codec or size.
    """
    if is_heic(read_head(path)):  # FFmpeg would show one tile of it
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT, f"{path.name}: HEIC pictures are not read; convert it to JPEG or PNG"
        )
    options = {"format_whitelist": DEMUXERS, "codec_whitelist": DECODERS, "protocol_whitelist": ""}
    with path.open("rb") as file:
        try:
            container = av.open(file, mode="r", options=options, metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise _refusal(path) from error
        with container:
            stream = _picture_stream(path, container)
            check_pixels(path, (stream.width, stream.height), budget)
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.thread_count = NUM_THREADS
            stream.codec_context.options = {"max_pixels": str(budget.max_pixels)}
            yield container, stream


def clip_info(path: Path, container: Any, stream: Any, budget: MediaBudget) -> MediaInfo:
    """Return the facts that the headers state; width and height as stored, before rotation.

    Raises:
        MediaError: the stated duration is over the budget.
    """
    duration_s = stated_duration_s(container, stream)
    check_duration(path, duration_s or 0.0, budget)
    rate = stream.average_rate or stream.guessed_rate
    return MediaInfo(
        kind="video",
        container=container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        width_px=stream.width,
        height_px=stream.height,
        size_bytes=path.stat().st_size,
        duration_s=duration_s,
        fps=float(rate) if rate else None,
        num_frames=stream.frames or None,
        bit_rate_bps=stream.codec_context.bit_rate or container.bit_rate or None,
    )


def stated_duration_s(container: Any, stream: Any) -> float | None:
    """Return the length that the stream states, else the container; None where neither does."""
    if stream.duration and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return float(container.duration / av.time_base)
    return None


def quarter_turns(picture: Any) -> int:
    """Return how often a decoded frame is turned by 90 degrees against the clock to stand upright, 0-3."""
    turns: int = round(picture.rotation / 90) % 4
    return turns


def _picture_stream(path: Path, container: Any) -> Any:
    covers = int(av.stream.Disposition.attached_pic)
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & covers]
    if not streams:
        raise MediaError(
            Reason.NO_VIDEO_STREAM,
            f"{path.name}: holds no pictures, only sound or data; choose a file with video",
        )
    stream = streams[0]
    context = stream.codec_context
    if context is None or context.name not in DECODERS.split(","):
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: the video codec is unknown or not allowed; convert the file to H.264 in MP4",
        )
    if not (stream.width and stream.height):
        raise MediaError(Reason.UNREADABLE, f"{path.name}: no picture size in its header; get a whole copy")
    return stream


def _refusal(path: Path) -> MediaError:
    if path.stat().st_size == 0:
        return MediaError(Reason.EMPTY_FILE, f"{path.name}: the file is empty; get a whole copy")
    if lacks_movie_header(path):
        return MediaError(
            Reason.TRUNCATED,
            f"{path.name}: cut off before its index was written (no moov box); get a whole copy",
        )
    if sniff(read_head(path)) is not None:
        return MediaError(
            Reason.UNREADABLE, f"{path.name}: damaged, its header cannot be read; get a whole copy"
        )
    return MediaError(
        Reason.UNSUPPORTED_FORMAT,
        f"{path.name}: not an image or video that can be read; convert it to JPEG, PNG or H.264 in MP4",
    )
