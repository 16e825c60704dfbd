"""Clips whose frames can be told apart by their grey level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
