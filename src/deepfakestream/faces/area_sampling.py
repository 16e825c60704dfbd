"""Any part of a picture at any size, by area, from one table of sums: for MTCNN's pyramid and patches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.media.types import RGBImage

Corners = NDArray[np.int64]
"""`(N, 4)`: left, top, right and bottom of rectangles in whole pixels, right and bottom not included."""


class AreaSampler:
    """Averages over the pixels that each cell of a grid touches, as adaptive average pooling does.

    The table of sums makes the cost depend on the size of the result alone.
    """

    def __init__(self, rgb: RGBImage) -> None:
        self.height_px, self.width_px = rgb.shape[:2]
        # 32-bit sums may wrap around in pictures of over 8 million pixels; differences of them stay right.
        self._sums = cv2.integral(rgb, sdepth=cv2.CV_32S)

    def whole(self, hw: tuple[int, int]) -> NDArray[np.float32]:
        """Return the picture as `(3, height, width)`."""
        rows, columns = (
            _cells(np.zeros(1, np.int64), np.array([length]), count)
            for length, count in ((self.height_px, hw[0]), (self.width_px, hw[1]))
        )
        by_row = [np.take(self._sums, edge[0], axis=0) for edge in rows]
        total = sum(
            sign * np.take(by_row[r], columns[c][0], axis=1)
            for r, c, sign in ((1, 1, 1), (0, 1, -1), (1, 0, -1), (0, 0, 1))
        )
        areas = np.outer(rows[1][0] - rows[0][0], columns[1][0] - columns[0][0])
        return np.ascontiguousarray((total / areas[..., None]).transpose(2, 0, 1), dtype=np.float32)

    def patches(self, corners: Corners, side: int) -> NDArray[np.float32]:
        """Return rectangles, each squeezed to a square, as `(N, 3, side, side)`."""
        left, top, right, bottom = corners.T
        y0, y1 = (edge[:, :, None] for edge in _cells(top, bottom - top, side))
        x0, x1 = (edge[:, None, :] for edge in _cells(left, right - left, side))
        sums = self._sums
        total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
        areas = (y1 - y0) * (x1 - x0)
        return np.ascontiguousarray((total / areas[..., None]).transpose(0, 3, 1, 2), dtype=np.float32)


def _cells(starts: Corners, lengths: Corners, count: int) -> tuple[Corners, Corners]:
    """Return where each of `count` cells begins and ends, `(N, count)`; neighbours may share a pixel."""
    steps = np.arange(count + 1)
    first = starts[:, None] + steps[None, :-1] * lengths[:, None] // count
    last = starts[:, None] - (-steps[None, 1:] * lengths[:, None] // count)
    return first, last
