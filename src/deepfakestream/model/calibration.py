"""Calibration and operating points, fitted on validation scores at the level of files."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from deepfakestream.arrays import BoolArray, FloatArray
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.spec import CalibrationSpec, OperatingPoint

IDENTITY = CalibrationSpec(slope=1.0, intercept=0.0)
MIN_PER_CLASS = 5
"""Fewer files of a class than this calibrate nothing."""
MIN_REALS = 100
"""Reals of a condition, below which its own false-positive rate says too little to set a threshold."""

_TARGETS = {"balanced": ("fpr", 0.05), "low_fpr": ("fpr", 0.01), "high_recall": ("tpr", 0.95)}
LIKELY_REAL_SHARE = 0.75
"""Share of the reals of every condition that must be called real, whatever fakes that lets through."""
_INCONCLUSIVE_TPR = {"balanced": 0.95, "low_fpr": 0.90, "high_recall": 0.98}


def fit_platt(logits: FloatArray, is_fake: BoolArray) -> CalibrationSpec:
    """Return the Platt scaling (Platt, 1999) that minimises the log-loss with both classes weighing alike.

    The slope is kept positive, so that calibration never reorders files. With fewer than `MIN_PER_CLASS`
    files of a class the logits are left as they are.

    Args:
        logits: `(N,)` log-odds of a fake.
        is_fake: `(N,)`, True for fakes.
    """
    return _fit(logits, is_fake, method="platt")


def fit_temperature(logits: FloatArray, is_fake: BoolArray) -> CalibrationSpec:
    """Return the temperature scaling (Guo et al., 2017): `fit_platt` without an intercept.

    Args:
        logits: `(N,)` log-odds of a fake.
        is_fake: `(N,)`, True for fakes.
    """
    return _fit(logits, is_fake, method="temperature")


def _fit(
    logits: FloatArray, is_fake: BoolArray, *, method: Literal["platt", "temperature"]
) -> CalibrationSpec:
    num_fake = int(is_fake.sum())
    num_real = len(is_fake) - num_fake
    if min(num_fake, num_real) < MIN_PER_CLASS:
        return IDENTITY
    sign = np.where(is_fake, 1.0, -1.0)
    weight = class_weights(is_fake)

    def loss(parameters: FloatArray) -> float:
        intercept = parameters[1] if len(parameters) > 1 else 0.0
        scaled = np.exp(parameters[0]) * logits + intercept
        return float((weight * np.logaddexp(0.0, -sign * scaled)).sum() + 1e-4 * (parameters**2).sum())

    start = np.zeros(2 if method == "platt" else 1)
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x
    intercept = float(best[1]) if method == "platt" else 0.0
    return CalibrationSpec(slope=float(np.exp(best[0])), intercept=intercept, method=method)


def class_weights(is_fake: BoolArray) -> FloatArray:
    """Return a weight of each file, `(N,)`: they add up to 1, and to a half over either class."""
    num_fake = int(is_fake.sum())
    return np.where(is_fake, 0.5 / num_fake, 0.5 / (len(is_fake) - num_fake))


def operating_points(
    logits: FloatArray,
    is_fake: BoolArray,
    calibration: CalibrationSpec,
    *,
    measured_on: str,
    conditions: NDArray[np.str_] | None = None,
    min_reals: int = MIN_REALS,
) -> dict[str, OperatingPoint]:
    """Return the named thresholds on p_fake with the rates measured on these files.

    `balanced` and `low_fpr` bound the false positive rate (5 %, 1 %) in every condition that shows
    enough of them, so that reals of hard encodings do not pay for easy ones; `high_recall` catches 95 % of
    the fakes. Rates are those of all conditions together. The inconclusive band ends at the threshold. It
    begins where almost no fake lies below, or higher: three of four reals of every condition are called
    real. Without enough files of both classes the points are conventional and unmeasured.

    Args:
        logits: `(N,)` log-odds of a fake, a file each.
        is_fake: `(N,)`, True for fakes.
        calibration: from logit to `p_fake`.
        measured_on: words for these files.
        conditions: `(N,)` encoding or kind of each file; None: one for all.
        min_reals: conditions with fewer reals set no threshold of their own.
    """
    p_fake = calibrate(logits, calibration)
    if min(int(is_fake.sum()), int((~is_fake).sum())) < MIN_PER_CLASS:
        unmeasured = {"balanced": (0.5, 0.4), "low_fpr": (0.9, 0.5), "high_recall": (0.3, 0.2)}
        return {
            name: OperatingPoint(
                threshold=high,
                inconclusive_from=low,
                fpr=None,
                tpr=None,
                measured_on=f"not measured ({measured_on})",
            )
            for name, (high, low) in unmeasured.items()
        }
    reals = [p_fake[~is_fake]]
    if conditions is not None:
        parts = [p_fake[~is_fake & (conditions == name)] for name in np.unique(conditions)]
        reals += [part for part in parts if len(part) >= min_reals]
    return {name: _operating_point(name, reals, p_fake[is_fake], measured_on) for name in _TARGETS}


def _operating_point(
    name: str, reals_by_condition: list[FloatArray], fakes: FloatArray, measured_on: str
) -> OperatingPoint:
    """Return a point; the first of the conditions is all reals."""
    kind, target = _TARGETS[name]
    reals = reals_by_condition[0]
    if kind == "fpr":
        threshold = max(_threshold_at_fpr(part, target) for part in reals_by_condition)
    else:
        threshold = _threshold_at_tpr(fakes, target)
    few_fakes_below = _threshold_at_tpr(fakes, _INCONCLUSIVE_TPR[name])
    most_reals_below = max(_threshold_at_fpr(part, 1.0 - LIKELY_REAL_SHARE) for part in reals_by_condition)
    inconclusive_from = min(threshold, max(few_fakes_below, most_reals_below))
    return OperatingPoint(
        threshold=threshold,
        inconclusive_from=inconclusive_from,
        fpr=float((reals >= threshold).mean()),
        tpr=float((fakes >= threshold).mean()),
        measured_on=measured_on,
    )


def _threshold_at_fpr(reals: FloatArray, target: float) -> float:
    """Return the least score at or above which at most `target` of the reals lie."""
    descending = np.sort(reals)[::-1]
    return float(np.nextafter(descending[int(target * len(reals))], 2.0))


def _threshold_at_tpr(fakes: FloatArray, target: float) -> float:
    """Return the greatest score at or above which at least `target` of the fakes lie."""
    may_miss = int((1.0 - target) * len(fakes) + 1e-9)  # 1 - 0.9 is a little less than 0.1
    return float(np.sort(fakes)[may_miss])
