"""Part of a known fake put back into its real, where both were cut alike from one frame of their videos.

What is left of the fake is a generator's own work under an outline, a size and a strength that its makers
never chose, beside a real that is equal in everything else. Mixing such pairs was among the remedies against
learning faces by heart in the Deepfake Detection Challenge, where fakes outnumber their originals.
"""

from __future__ import annotations

import cv2
import numpy as np

from deepfakestream.forge.masks import blending_mask
from deepfakestream.forge.mesh import Points
from deepfakestream.forge.regions import Mask, random_region
from deepfakestream.forge.self_blend import blend
from deepfakestream.media.types import RGBImage

CELLS = 14
"""Pictures are compared by the mean difference in cells of a grid of this many a side."""
MAX_BORDER_DIFFERENCE = 6.0
"""Grey levels: above it a fake and its real were not cut alike, and a mixture would show both."""
MIN_DIFFERENCE = 9.0
"""Grey levels in some cell: below it nobody could tell the mixture from the real."""


def keep_part(real: RGBImage, fake: RGBImage, points: Points, rng: np.random.Generator) -> RGBImage:
    """Return the real with a random region of the fake in it.

    The fake itself comes back where the two do not line up or the part would hardly show.

    Args:
        real: square face crop.
        fake: crop of the same size, of a fake made from that real.
        points: mesh of the face.
        rng: what is drawn from.
    """
    if not line_up(real, fake):
        return fake
    part = blend(fake, real, blending_mask(random_region(points, real.shape[0], rng), rng))
    return part if _differences(real, part).max() > MIN_DIFFERENCE else fake


def line_up(real: RGBImage, fake: RGBImage) -> bool:
    """Tell whether two crops agree at their left, right and upper borders, where swaps change nothing."""
    cells = _differences(real, fake)
    border = np.concatenate([cells[0], cells[:, 0], cells[:, -1]])
    return bool(np.median(border) < MAX_BORDER_DIFFERENCE)


def _differences(one: RGBImage, other: RGBImage) -> Mask:
    """Return the mean absolute difference in each cell, `(CELLS, CELLS)`."""
    difference = np.abs(one.astype(np.float32) - other.astype(np.float32)).mean(axis=2)
    return np.asarray(cv2.resize(difference, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)
