"""A face that an installed package brings, as crops, as a picture and as a clip."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from deepfakestream.faces.types import ExtractionSpec

FRAMES_A_SECOND, SECONDS = 25, 10
WIDTH_PX, HEIGHT_PX = 1280, 720
FACE_BOX = (slice(30, 290), slice(120, 340))


def face_crops(count: int, spec: ExtractionSpec) -> NDArray[np.uint8]:
    """Return so many different pictures of one face, `(count, S, S, 3)` RGB: moved, mirrored, darker, coded.

    Args:
        count: how many.
        spec: says their size.
    """
    rng = np.random.default_rng(0)
    face, size_px = skimage.data.astronaut()[FACE_BOX], spec.crop_size_px
    crops = []
    for number in range(count):
        top, left = rng.integers(0, 30, 2)
        view = cv2.resize(face[top : top + 200, left : left + 190], (size_px, size_px))
        view = np.clip(view * rng.uniform(0.5, 1.3), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 100))])[1]
        view = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        crops.append(view[:, ::-1] if number % 2 else view)
    return np.ascontiguousarray(np.stack(crops))


def write_picture(folder: Path) -> Path:
    """Write the picture as JPEG and return its path."""
    path = folder / "picture.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=95)
    return path


def write_clip(folder: Path) -> Path:
    """Write ten seconds in H.264 that pan over the picture, and return their path."""
    path, scale = folder / "clip.mp4", 2.8
    large = cv2.resize(skimage.data.astronaut(), None, fx=scale, fy=scale)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_A_SECOND, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for number in range(FRAMES_A_SECOND * SECONDS):
            left = number % (large.shape[1] - WIDTH_PX)
            picture = np.ascontiguousarray(large[:HEIGHT_PX, left : left + WIDTH_PX])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
