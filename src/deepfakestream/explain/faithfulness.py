"""Does a map show what the network uses? Deletion and insertion (Petsiuk et al., BMVC 2018) against chance.

Deletion blurs the pixels that the map ranks highest first, insertion starts from the blurred crop and gives
them back first; both record the face's p_fake. A map that is right makes it fall fast and rise fast: a small
area under the first curve and a large one under the second. The areas mean little alone, because blurring
itself changes a detector's score; so random maps of the same coarseness go through the same test, and a map
counts as faithful only where it beats every one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.explain.attribution import Map
from deepfakestream.explain.face_region import enlarged
from deepfakestream.media.types import RGBImage

ScoreOfCrops = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Maps RGB crops `(N, S, S, 3)` to p_fake `(N,)`."""

NUM_STEPS = 8
NUM_RANDOM = 19
"""A map without meaning beats all of 19 others like it in 1 of 20 cases."""
BLUR_SHARE = 0.06
"""Standard deviation of the baseline's blur over the crop's side: features of a face go, its colours stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Areas under the two curves, in p_fake."""

    deletion_auc: float
    insertion_auc: float

    @property
    def gain(self) -> float:
        """How much sooner insertion brings the score back than deletion lets it go; chance is about 0."""
        return self.insertion_auc - self.deletion_auc


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """A map's curves next to those of random maps."""

    curves: Curves
    random_deletion_auc: float
    """Mean over the random maps."""
    random_insertion_auc: float
    num_beaten: int
    """Random maps with a smaller gain."""
    num_random: int

    @property
    def is_faithful(self) -> bool:
        """Whether the map beats every random map."""
        return self.num_beaten == self.num_random

    def describe(self) -> str:
        """Return the test's outcome as a phrase."""
        outcome = f"beats {self.num_beaten} of {self.num_random} random maps"
        return f"faithful: {outcome}" if self.is_faithful else f"NOT faithful: {outcome}"


class FaithfulnessTest:
    """The test for maps of one crop; random maps of a shape are drawn and scored once."""

    def __init__(
        self, crop: RGBImage, score: ScoreOfCrops, *, num_random: int = NUM_RANDOM, seed: int = 0
    ) -> None:
        self._crop = crop
        self._num_random = num_random
        self._score = score
        self._seed = seed
        self._baseline = blurred(crop)
        ends = score(np.stack([crop, self._baseline]))
        self._whole, self._empty = float(ends[0]), float(ends[1])
        self._random: dict[tuple[int, ...], list[Curves]] = {}

    def curves(self, cells: Map) -> Curves:
        """Return the areas under a map's deletion and insertion curves."""
        values = enlarged(cells, self._crop.shape[0])
        ranks = np.empty(values.size)  # of each pixel, from 0 (the highest value) to just below 1
        ranks[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size) / values.size
        order = ranks.reshape(values.shape)
        shares = np.arange(1, NUM_STEPS) / NUM_STEPS
        deleted = [self._mixed(order >= share) for share in shares]
        inserted = [self._mixed(order < share) for share in shares]
        p_fake = self._score(np.stack([*deleted, *inserted]))
        middle = len(shares)
        return Curves(
            deletion_auc=_area([self._whole, *p_fake[:middle], self._empty]),
            insertion_auc=_area([self._empty, *p_fake[middle:], self._whole]),
        )

    def judge(self, cells: Map) -> Faithfulness:
        """Return the map's curves and how many random maps of its shape it beats; a flat map beats none."""
        is_flat = bool(np.ptp(cells) == 0)
        own = self.curves(cells)
        if cells.shape not in self._random:
            rng = np.random.default_rng(self._seed)
            draws = rng.standard_normal((self._num_random, *cells.shape)).astype(np.float32)
            self._random[cells.shape] = [self.curves(drawn) for drawn in draws]
        others = self._random[cells.shape]
        return Faithfulness(
            curves=own,
            random_deletion_auc=float(np.mean([each.deletion_auc for each in others])),
            random_insertion_auc=float(np.mean([each.insertion_auc for each in others])),
            num_beaten=0 if is_flat else sum(own.gain > each.gain for each in others),
            num_random=len(others),
        )

    def _mixed(self, keep: NDArray[np.bool_]) -> RGBImage:
        return np.where(keep[..., None], self._crop, self._baseline)


def blurred(crop: RGBImage) -> RGBImage:
    """Return the baseline: a picture of the crop's size, without what a face is recognised by.

    Args:
        crop: square face crop `(S, S, 3)`, RGB, 0-255.
    """
    smooth = cv2.GaussianBlur(crop, (0, 0), BLUR_SHARE * crop.shape[0], borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(smooth, dtype=np.uint8)


def _area(p_fake: list[float]) -> float:
    return float(np.trapezoid(p_fake, dx=1.0 / NUM_STEPS))
