"""A number with its 95 % interval: what all measurements of an evaluation are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from deepfakestream.arrays import FloatArray, IntArray
from deepfakestream.frozen import Frozen

INTERVAL = (0.025, 0.975)
Z_95 = 1.959964

MIN_DEFINED_SHARE = 0.5
"""An interval needs at least this share of resamples in which the statistic is defined."""


class Estimate(Frozen):
    """A number and its 95 % interval; None where it is undefined, or too few groups give an interval."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "not defined"
        bounds = "no interval" if self.low is None or self.high is None else f"{self.low:.3f}–{self.high:.3f}"
        return f"{self.value:.3f} ({bounds})"

    @classmethod
    def from_resamples(cls, value: float, resampled: Sequence[float]) -> Self:
        """Return a statistic's value with the interval of what it is on resamples of its items.

        Args:
            value: of the statistic on all items.
            resampled: value of the statistic on each resample.
        """
        low, high = quantiles(np.array(resampled, dtype=np.float64), INTERVAL) or (None, None)
        return cls(value=value, low=low, high=high)


def share(count: int, n: int) -> Estimate:
    """Return a share with its Wilson 95 % interval (Wilson 1927), which stays honest at 0 of n and n of n.

    Args:
        count: how many items have the property.
        n: number of items.
    """
    if n == 0:
        return Estimate(value=None)
    rate, z2 = count / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(value=rate, low=max(0.0, centre - half), high=min(1.0, centre + half))


def resample_groups(group_ids: ArrayLike, *, num_bootstrap: int, seed: int) -> Iterator[IntArray]:
    """Yield item indices of each resample: as many groups as there are, with replacement.

    A drawn group comes with all its items (cluster bootstrap; Davison and Hinkley 1997, section 3.8).
    The same seed and groups give the same resamples. A single group gives none: each would hold the same
    items, and an interval from them neither width nor meaning.

    Args:
        group_ids: `(N,)` source group of each item.
        num_bootstrap: number of resamples.
        seed: the same seed draws the same.
    """
    if num_bootstrap == 0 or np.size(group_ids) == 0:
        return
    _, codes = np.unique(np.asarray(group_ids, dtype=object).astype(str), return_inverse=True)
    sizes = np.bincount(codes)
    if len(sizes) == 1:
        return
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(codes, kind="stable")
    rng = np.random.default_rng(seed)
    for _ in range(num_bootstrap):
        drawn = rng.integers(0, len(sizes), len(sizes))
        lengths = sizes[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield order[np.repeat(starts[drawn], lengths) + within]


def resampled_counts(group_ids: ArrayLike, *, num_bootstrap: int, seed: int) -> Iterator[IntArray]:
    """Yield how often each item `(N,)` is in each of the resamples that `resample_groups` yields.

    Args:
        group_ids: `(N,)` source group of each item.
        num_bootstrap: number of resamples.
        seed: the same seed draws the same.
    """
    for items in resample_groups(group_ids, num_bootstrap=num_bootstrap, seed=seed):
        yield np.bincount(items, minlength=np.size(group_ids))


def quantiles(resampled: FloatArray, levels: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return quantiles of a statistic over the resamples; None where it was mostly undefined (NaN).

    Args:
        resampled: `(num_bootstrap,)`, value of the statistic on each resample.
        levels: quantiles, e.g. 0.025 and 0.975.
    """
    defined = resampled[np.isfinite(resampled)]
    if len(defined) == 0 or len(defined) < MIN_DEFINED_SHARE * len(resampled):
        return None
    found: Any = np.quantile(defined, levels)
    return tuple(float(value) for value in found)


def quantiles_around(
    value: float, resampled: FloatArray, levels: tuple[float, ...]
) -> tuple[float, ...] | None:
    """Return quantiles of a statistic that resampling biases, moved so that their mean is its own value.

    A resample repeats items, which adds noise of its own. To a statistic that noise can only raise, such as a
    calibration error, the quantiles alone are too high: they often leave out the value itself.

    Args:
        value: of the statistic on all items.
        resampled: `(num_bootstrap,)`, value of the statistic on each resample.
        levels: quantiles, e.g. 0.025 and 0.975.
    """
    found = quantiles(resampled, levels)
    if found is None:
        return None
    mean = float(resampled[np.isfinite(resampled)].mean())
    return tuple(each + value - mean for each in found)
