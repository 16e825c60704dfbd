"""Clips whose frames differ in their grey level."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from deepfakestream.media.types import Frame, RGBImage


def grey_frames(count: int, height: int = 48, width: int = 64) -> list[RGBImage]:
    """Frame k is all of grey level 4 k (modulo 252)."""
    return [np.full((height, width, 3), 4 * k % 252, dtype=np.uint8) for k in range(count)]


def grey_number(frame: Frame) -> int:
    """Return k of a frame of `grey_frames`."""
    return round(float(frame.rgb.mean()) / 4)


@pytest.fixture(scope="session")
def greys() -> Callable[..., list[RGBImage]]:
    return grey_frames


@pytest.fixture(scope="session")
def number_of() -> Callable[[Frame], int]:
    return grey_number


@pytest.fixture
def grey_clip(tmp_path: Path, encode_clip: Callable[..., Path]) -> Path:
    """60 frames at 25 a second, one keyframe every 10."""
    return encode_clip(tmp_path / "grey.mp4", grey_frames(60), keyframe_every=10)


@dataclass(frozen=True, kw_only=True)
class FilmStream:
    """One picture stream of a film to write; frames are of one size."""

    frames: Sequence[RGBImage]
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    start: int = 0
    times: Sequence[int] | None = None
    keyframe_every: int = 12
    options: dict[str, str] = field(default_factory=dict)
    pixel_aspect: Fraction | None = None
    matrix: Sequence[int] | None = None
    colours: tuple[int, int, int] | None = None
    """Primaries, transfer and matrix by the numbers of ITU-T H.273."""
    disposition: int = 0
    pixels: str = "rgb24"


def write_film(
    path: Path,
    *streams: FilmStream,
    fps: int = 25,
    options: dict[str, str] | None = None,
    name: str | None = None,
) -> Path:
    """Write a file of several picture streams; `name` is the container's, where the suffix does not tell."""
    with av.open(str(path), "w", format=name, container_options=options or {}) as container:
        made = [(_add_stream(container, each, fps), each) for each in streams]
        for stream, each in made:
            for position, pixels in enumerate(each.frames):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=each.pixels)
                if each.colours:
                    target = {"dst_colorspace": each.colours[2], "dst_color_range": 1}
                    picture = picture.reformat(format=each.pix_fmt, **target)
                    picture.color_primaries, picture.color_trc, picture.colorspace = each.colours
                picture.pts = each.start + (position if each.times is None else each.times[position])
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    # SVT-AV1, run by root, gives the process that calls it precedence over all others, for good
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def _add_stream(container: av.container.OutputContainer, each: FilmStream, fps: int) -> av.VideoStream:
    stream = container.add_stream(each.codec, rate=fps, options=each.options)
    context = stream.codec_context
    stream.height, stream.width = each.frames[0].shape[:2]
    stream.pix_fmt = each.pix_fmt
    context.gop_size = each.keyframe_every
    context.time_base = Fraction(1, fps)
    if each.pixel_aspect:
        context.sample_aspect_ratio = each.pixel_aspect
    if each.matrix:
        stream.set_display_matrix(each.matrix)
    if each.colours:
        context.color_primaries, context.color_trc, context.colorspace = each.colours
        context.color_range = 1
    if each.disposition:
        stream.disposition = each.disposition
    return stream


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    """The function `write_film`."""
    return write_film


@pytest.fixture(scope="session")
def stream() -> type[FilmStream]:
    """The class `FilmStream`."""
    return FilmStream


def join_files(path: Path, *parts: Path) -> Path:
    """Write files one after the other, as `cat` does."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.fixture(scope="session")
def join() -> Callable[..., Path]:
    return join_files
