"""Two numbers about a crop that say how much of a face can be seen in it."""

from __future__ import annotations

import cv2

from deepfakestream.media.types import RGBImage


def sharpness(rgb: RGBImage) -> float:
    """Return the variance of the Laplacian of the luma: small for blur, large for detail and for noise.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000. It depends on the size of
    the picture: compare crops of one size only.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
    """
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def luma(rgb: RGBImage) -> float:
    """Return the mean BT.601 luma, 0 (black) to 255 (white).

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
    """
    return float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).mean())
