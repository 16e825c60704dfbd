"""Small real pictures and sources made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.media.types import RGBImage

PictureWriter = Callable[..., Path]


@pytest.fixture
def write_picture(astronaut: RGBImage) -> PictureWriter:
    """Write the astronaut's face, its brightness set by `shade`; equal shades give equal bytes."""

    def write(path: Path, *, shade: int, size_px: int = 64) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        face = Image.fromarray(astronaut[40:200, 150:310]).resize((size_px, size_px))
        pixels = np.clip(np.asarray(face).astype(int) + shade, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, format="JPEG", quality=95)
        return path

    return write
