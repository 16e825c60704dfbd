"""A number with its 95 % interval: what all measurements of an evaluation are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from deepfakestream.evaluation.bootstrap import quantiles
from deepfakestream.frozen import Frozen

INTERVAL = (0.025, 0.975)
Z_95 = 1.959964


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
        """Return a statistic's value with the interval of what it is on resamples of its items."""
        low, high = quantiles(np.array(resampled, dtype=np.float64), INTERVAL) or (None, None)
        return cls(value=value, low=low, high=high)


def share(count: int, n: int) -> Estimate:
    """Return a share with its Wilson 95 % interval (Wilson 1927), which stays honest at 0 of n and n of n."""
    if n == 0:
        return Estimate(value=None)
    rate, z2 = count / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(value=rate, low=max(0.0, centre - half), high=min(1.0, centre + half))
