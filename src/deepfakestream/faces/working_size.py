"""The picture as a detector sees it: of bounded size, so that speed does not depend on the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from deepfakestream.media.types import RGBImage

MIN_LONG_SIDE_PX = 160
"""Smaller pictures are enlarged to this; enlarging more makes a tight portrait look like several faces."""
MIN_SIDE_PX = 32
"""Thinner pictures are stretched to this: the coarsest feature map needs one cell."""
SIZE_FACTS = {"min_long_side_px": MIN_LONG_SIDE_PX, "min_side_px": MIN_SIDE_PX}
"""What decides the size that a network sees, for the digest of the detector."""
BATCH_PIXELS = 4 * 640 * 640
"""Most input pixels of one network call: bounds memory whatever the number of frames."""


def input_hw(height_px: int, width_px: int, max_long_side_px: int) -> tuple[int, int]:
    """Return the height and width that the network sees for a picture of the given size.

    Args:
        height_px: of the picture.
        width_px: of the picture.
        max_long_side_px: longer side that the network sees at most.
    """
    long_side = max(height_px, width_px)
    zoom = min(max(long_side, MIN_LONG_SIDE_PX), max_long_side_px) / long_side
    return max(MIN_SIDE_PX, round(height_px * zoom)), max(MIN_SIDE_PX, round(width_px * zoom))


def to_input(rgb: RGBImage, hw: tuple[int, int]) -> RGBImage:
    """Return the picture in the network's size: areas averaged when shrinking, linear when enlarging.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        hw: height and width in pixels.
    """
    if rgb.shape[:2] == hw:
        return rgb
    shrinks = rgb.shape[0] > hw[0] or rgb.shape[1] > hw[1]
    return np.asarray(
        cv2.resize(rgb, hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    )


def batches(images: Sequence[RGBImage], max_long_side_px: int) -> Iterator[tuple[list[int], RGBImage]]:
    """Yield positions and stacked `(N, height, width, 3)` inputs of pictures whose network size agrees.

    Args:
        images: pictures `(height, width, 3)`, RGB.
        max_long_side_px: longer side that the network sees at most.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for position, rgb in enumerate(images):
        by_size.setdefault(input_hw(rgb.shape[0], rgb.shape[1], max_long_side_px), []).append(position)
    for hw, positions in by_size.items():
        step = max(1, BATCH_PIXELS // (hw[0] * hw[1]))
        for start in range(0, len(positions), step):
            part = positions[start : start + step]
            yield part, np.stack([to_input(images[i], hw) for i in part])
