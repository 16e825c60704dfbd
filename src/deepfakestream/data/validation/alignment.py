"""How alike two crops are once they lie on each other: the second look at candidates.

Correlation of the fine structure (luma less its own blur): faces of different people agree in the coarse,
where light and shape are, and hardly in the fine. The best shift comes from the Fourier transform, the best
of a few scales and the mirror image by trying (Lewis, "Fast normalized cross-correlation", 1995).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from deepfakestream.data.validation.fingerprints import Gray

SIDE_PX = 64
_MAX_SHIFT_PX = 6
_SCALES = (1.0, 1.05, 1.11)
"""How much is cut off the larger of the two: nothing, 5 % and 10 % of its side."""

Structure = npt.NDArray[np.float32]
_EDGE = np.sqrt(np.outer(np.hanning(SIDE_PX + 2)[1:-1], np.hanning(SIDE_PX + 2)[1:-1])).astype(np.float32)


def similarity(first: Gray, second: Gray) -> float:
    """Return the correlation of two crops' fine structure at the best fit, -1 to 1; 1 is the same picture.

    Args:
        first: luma, `(height, width)`.
        second: luma of any size.
    """
    wholes = _structure(first, 1.0), _structure(second, 1.0)
    best = -1.0
    for scale in _SCALES:
        for whole, other in ((wholes[0], second), (wholes[1], first)):
            cut = _structure(other, scale)
            best = max(best, _correlation(whole, cut), _correlation(whole, cut[:, ::-1]))
    return best


def _structure(gray: Gray, scale: float) -> Structure:
    """Return the middle of a crop, enlarged by `scale`, without what is coarse, of length 1."""
    height, width = gray.shape
    top, left = (round(side * (1 - 1 / scale) / 2) for side in (height, width))
    middle = gray[top : height - top, left : width - left]
    small = cv2.resize(middle, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    fine = cv2.GaussianBlur(small, (0, 0), 0.8) - cv2.GaussianBlur(small, (0, 0), 4.0)
    shown = fine * _EDGE
    shown -= shown.mean()
    return np.asarray(shown / (np.linalg.norm(shown) + 1e-6), dtype=np.float32)


def _correlation(first: Structure, second: Structure) -> float:
    spectrum = np.fft.rfft2(first) * np.fft.rfft2(second).conj()
    field = np.roll(np.fft.irfft2(spectrum, s=first.shape), (_MAX_SHIFT_PX, _MAX_SHIFT_PX), axis=(0, 1))
    reach = 2 * _MAX_SHIFT_PX + 1
    return float(field[:reach, :reach].max())
