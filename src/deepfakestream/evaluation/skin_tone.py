"""A proxy for skin tone: the individual typology angle (ITA) of the middle of a face crop.

ITA = arctan((L* - 50) / b*) in CIELAB, in degrees, with the groups of Chardon, Cretois and Hourseau, "Skin
colour typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991; the darkest group as in Del Bino
and Bernerd, British J. Dermatology 169, 2013.

In a picture it mixes skin with light, exposure, white balance, make-up and compression, so it says how a face
*looks*, not what anybody is: it may show that errors fall unevenly, and never serves to sort people.
"""

from __future__ import annotations

import cv2
import numpy as np

from deepfakestream.media.types import RGBImage

GROUPS = {
    "dark": -30.0,
    "brown": 10.0,
    "tan": 28.0,
    "intermediate": 41.0,
    "light": 55.0,
    "very light": 90.0 + 1e-9,
}
"""Upper bound of each group's ITA in degrees, from dark to light."""

MIDDLE_ROWS = (0.42, 0.70)
MIDDLE_COLUMNS = (0.25, 0.75)
"""Part of a crop that holds cheeks and nose, below the eyes and above the mouth."""
MIN_B = 1.0
"""Below this the patch is grey or blue, no skin under white light: there is no angle."""


def ita_deg(rgb: RGBImage) -> float:
    """Return the ITA in degrees, higher for lighter skin; NaN where the crop's middle has no skin colour.

    Args:
        rgb: square face crop `(S, S, 3)`, RGB, 0-255.
    """
    height, width = rgb.shape[:2]
    rows = slice(int(MIDDLE_ROWS[0] * height), max(int(MIDDLE_ROWS[1] * height), 1))
    columns = slice(int(MIDDLE_COLUMNS[0] * width), max(int(MIDDLE_COLUMNS[1] * width), 1))
    patch = np.ascontiguousarray(rgb[rows, columns], dtype=np.float32) / np.float32(255.0)
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)  # float input: L* 0-100, b* unscaled
    lightness, b = float(np.median(lab[..., 0])), float(np.median(lab[..., 2]))
    return float(np.degrees(np.arctan2(lightness - 50.0, b))) if b >= MIN_B else float("nan")
