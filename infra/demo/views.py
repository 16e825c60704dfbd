"""From a person's pictures to new stills and clips: a view that moves, light that differs, real encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from deepfakestream.media.types import RGBImage

SIZE_PX = 320
CLIP_FRAMES = 20
CLIP_FPS = 12
DRIFTED_SIZE_PX = 208
_CRF = 20


@dataclass(frozen=True, slots=True)
class Look:
    """How good the camera is."""

    size_px: int = SIZE_PX
    gain: float = 1.0
    blur_px: float = 0.0
    jpeg_quality: tuple[int, int] = (82, 96)


GOOD = Look()
POOR = Look(size_px=DRIFTED_SIZE_PX, gain=0.38, blur_px=1.6, jpeg_quality=(35, 50))
"""Another camera: dark, out of focus, few pixels, strong compression."""


def views(square: Sequence[RGBImage], rng: np.random.Generator, *, num_frames: int) -> list[RGBImage]:
    """Return square views of `SIZE_PX` that glide over the square; a film runs on underneath.

    Args:
        square: the person's square, one frame or several.
        rng: decides size, path, mirroring, light, and where a film begins.
        num_frames: views to make.
    """
    side = square[0].shape[0]
    view_px = round(side * rng.uniform(0.88, 0.97))
    begin, end = (rng.uniform(0, side - view_px, 2) for _ in range(2))
    first = int(rng.integers(0, max(1, len(square) - num_frames + 1)))
    mirrored, gain, offset = rng.random() < 0.5, rng.uniform(0.9, 1.1), rng.uniform(-8, 8)
    made = []
    for position in range(num_frames):
        left, top = np.round(begin + (end - begin) * position / max(1, num_frames - 1)).astype(int)
        frame = square[min(first + position, len(square) - 1)]
        view = cv2.convertScaleAbs(_square(frame, left, top, view_px), alpha=gain, beta=offset)
        made.append(np.ascontiguousarray(view[:, ::-1] if mirrored else view, dtype=np.uint8))
    return made


def with_look(rgb: RGBImage, look: Look) -> RGBImage:
    """Return the picture as a camera of this quality takes it."""
    if look.blur_px:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), look.blur_px), dtype=np.uint8)
    if look.gain != 1.0:
        rgb = (rgb.astype(np.float32) * look.gain).astype(np.uint8)
    if rgb.shape[0] != look.size_px:
        size = (look.size_px, look.size_px)
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return rgb


def write_still(path: Path, rgb: RGBImage, look: Look, rng: np.random.Generator) -> None:
    """Write a JPEG of a quality that the look allows."""
    quality = int(rng.integers(*look.jpeg_quality))
    bgr = cv2.cvtColor(with_look(rgb, look), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    path.write_bytes(encoded.tobytes())


def write_clip(path: Path, frames: Sequence[RGBImage], look: Look) -> None:
    """Write an H.264 clip; one thread, so that the same frames give the same bytes."""
    pictures = [with_look(rgb, look) for rgb in frames]
    with av.open(str(path), "w", format="mp4") as container:
        options = {"crf": str(_CRF), "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=CLIP_FPS, options=options)
        stream.width = stream.height = look.size_px
        stream.pix_fmt = "yuv420p"
        for rgb in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


def _square(frame: RGBImage, left: int, top: int, side: int) -> RGBImage:
    cut = np.ascontiguousarray(frame[top : top + side, left : left + side])
    interpolation = cv2.INTER_AREA if side >= SIZE_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, (SIZE_PX, SIZE_PX), interpolation=interpolation), dtype=np.uint8)
