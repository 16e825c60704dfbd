"""Numbers that one ROC curve holds: areas, the equal error rate, sensitivity at a false-positive rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from deepfakestream.arrays import BoolArray, FloatArray

NUM_CHANCE_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RocCurve:
    """The ROC of scores with both classes: one point a distinct score, from (0, 0) to (1, 1)."""

    fpr: FloatArray
    tpr: FloatArray
    num_real: int
    num_fake: int

    @property
    def auc(self) -> float:
        """Probability that a random fake scores above a random real, ties counting half."""
        return float(sklearn_metrics.auc(self.fpr, self.tpr))

    @property
    def average_precision(self) -> float:
        """Precision averaged over recall as a step function, as scikit-learn defines it."""
        caught, alarms = self.tpr * self.num_fake, self.fpr * self.num_real
        precision = caught[1:] / (caught[1:] + alarms[1:])
        return float(np.sum(np.diff(self.tpr) * precision))

    @property
    def equal_error_rate(self) -> float:
        """The rate where false positives and misses are equally frequent, on the interpolated curve."""
        return float(np.interp(0.0, self.fpr + self.tpr - 1.0, self.fpr))

    def tpr_at(self, fpr: float) -> float:
        """True positive rate at a false positive rate, on the interpolated curve."""
        return float(np.interp(fpr, self.fpr, self.tpr))


def roc_curve(is_fake: BoolArray, scores: FloatArray) -> RocCurve | None:
    """Return the ROC of scores (higher = more likely fake), or None without both classes.

    Args:
        is_fake: `(N,)`, True for fakes.
        scores: `(N,)`, higher where a fake is more likely.
    """
    num_fake = int(is_fake.sum())
    num_real = len(is_fake) - num_fake
    if num_fake == 0 or num_real == 0:
        return None
    fpr, tpr, _ = sklearn_metrics.roc_curve(is_fake, scores, drop_intermediate=False)
    return RocCurve(fpr=fpr, tpr=tpr, num_real=num_real, num_fake=num_fake)


class RankedScores:
    """Scores sorted once, so that the AUC of each of many resamples costs one pass over them."""

    def __init__(self, is_fake: BoolArray, scores: FloatArray) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._is_fake = is_fake[self._order]
        self._tie_starts = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0.0)

    def auc(self, counts: NDArray[np.int64] | None = None) -> float:
        """Return the AUC (Mann-Whitney), NaN without both classes.

        Args:
            counts: how often each score counts, `(N,)`; default: once.
        """
        ordered = np.ones(len(self._order)) if counts is None else counts[self._order].astype(np.float64)
        fakes = np.add.reduceat(ordered * self._is_fake, self._tie_starts)
        reals = np.add.reduceat(ordered * ~self._is_fake, self._tie_starts)
        num_pairs = fakes.sum() * reals.sum()
        if num_pairs == 0:
            return float("nan")
        reals_below = np.cumsum(reals) - reals
        return float(np.dot(fakes, reals_below + 0.5 * reals) / num_pairs)


def calibration_error(is_fake: BoolArray, p_fake: FloatArray, *, max_bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal mass; NaN without items.

    At most `max_bins` bins (Naeini et al. 2015, with equal-mass bins), fewer where a bin would hold fewer
    than 10 items. Equal scores share a bin, so that the order of the rows changes nothing.

    Args:
        is_fake: `(N,)`, True for fakes.
        p_fake: `(N,)`, probability of a fake.
        max_bins: bins at most.
    """
    bins = mass_bins(p_fake, max_bins=max_bins)
    if len(bins) == 0:
        return float("nan")
    return _mean_gap(bins, p_fake - is_fake)


def calibration_error_of_chance(p_fake: FloatArray, *, seed: int, max_bins: int = 15) -> float:
    """Return the error that perfectly calibrated scores exceed in 1 of 20 cases; NaN without items.

    Consistency resampling (Broecker and Smith 2007): the scores stay, labels are drawn with just these
    probabilities. The error of few files is large by chance alone, because it adds up sizes of gaps.

    Args:
        p_fake: `(N,)`, probability of a fake.
        seed: the same seed draws the same.
        max_bins: bins at most.
    """
    if len(p_fake) == 0:
        return float("nan")
    bins = mass_bins(p_fake, max_bins=max_bins)
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(p_fake)) < p_fake for _ in range(NUM_CHANCE_DRAWS))
    errors = [_mean_gap(bins, p_fake - is_fake) for is_fake in drawn]
    return float(np.quantile(errors, 0.95))


def _mean_gap(bins: NDArray[np.int64], surplus: FloatArray) -> float:
    """Return the calibration error of items in bins, from what each score has more than its label."""
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(bins))


def mass_bins(p_fake: FloatArray, *, max_bins: int = 15) -> NDArray[np.int64]:
    """Return the bin `(N,)` of each score: about equally many in each bin, equal scores together.

    Args:
        p_fake: `(N,)`, probability of a fake.
        max_bins: bins at most.
    """
    n = len(p_fake)
    num_bins = int(np.clip(n // 10, 1, max_bins))
    first_rank = np.searchsorted(np.sort(p_fake), p_fake, side="left")
    return np.asarray(first_rank * num_bins // max(n, 1), dtype=np.int64)
