"""Steganalysis rich model (SRM) residuals of a picture: its kernels, and how they look, without PyTorch.

The three 5x5 kernels of Zhou et al. (CVPR 2018, "Learning Rich Features for Image Manipulation Detection")
after Fridrich and Kodovsky (2012), in the order KB, KV, H, each summed over the colour channels. They run on
grey levels (0-255) and are truncated at +-3, as in steganalysis; on a 0-1 scale the truncation would never
act.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.media.types import RGBImage

TRUNCATION = 3.0
KERNEL_NAMES = ("KB, 3 x 3", "KV, 5 x 5", "H, horizontal")
_KB = ((0, 0, 0, 0, 0), (0, -1, 2, -1, 0), (0, 2, -4, 2, 0), (0, -1, 2, -1, 0), (0, 0, 0, 0, 0))
_KV = ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))
_H = ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, -2, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
KERNELS = np.stack([np.array(_KB) / 4.0, np.array(_KV) / 12.0, np.array(_H) / 2.0]).astype(np.float32)
"""`(3, 5, 5)`; each sums to 0."""


def noise_residuals(rgb: RGBImage) -> NDArray[np.float32]:
    """Return the truncated residuals `(3, height, width)` of a picture, in grey levels within +-3.

    One a kernel of `KERNELS`. The border is reflected so that it leaves no residual of its own.
    """
    total = rgb.astype(np.float32).sum(axis=2)
    planes = [cv2.filter2D(total, -1, kernel, borderType=cv2.BORDER_REFLECT_101) for kernel in KERNELS]
    return np.asarray(np.clip(np.stack(planes), -TRUNCATION, TRUNCATION), dtype=np.float32)
