"""How good scores and operating points are, of files or of single faces, each number with an interval.

A number that the data cannot give (one class only, no item) is None, never 0.5: `status` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.arrays import BoolArray, FloatArray
from deepfakestream.errors import DataError
from deepfakestream.evaluation.curves import calibration_error, calibration_error_of_chance, roc_curve
from deepfakestream.evaluation.estimate import INTERVAL, Estimate, quantiles_around, resample_groups, share
from deepfakestream.frozen import Frozen
from deepfakestream.model.spec import OperatingPoint

FPR_LEVELS = (0.01, 0.05)
RAISED_BY_NOISE = ("ece",)
"""Metrics, 0 or more, that the noise of resampling itself raises; their intervals are corrected for it."""
REQUIRED_COLUMNS = ("label", "group_id", "p_fake")
KEYS = {"file": "media_id", "face": "crop_id"}
"""What identifies a row, by what a row is."""

Status = Literal["ok", "one_class", "empty"]
Unit = Literal["file", "face"]


class Metrics(Frozen):
    """What was measured on which files. `metrics["auc"]` gives one estimate by name."""

    status: Status
    """`ok`; `one_class`: only reals or only fakes have a score; `empty`: no file has one."""
    unit: Unit = "file"
    """What a row is, and so what is counted below: a file, or one face crop of one frame."""
    n: int
    """Files, or faces, with a score."""
    n_real: int
    n_fake: int
    num_groups: int
    share_not_applicable: float | None
    """Share of all files that have no score; None without files."""
    threshold: float
    """p_fake from which a file counts as fake, for `f1`, `accuracy`, `tpr` and `fpr`."""
    num_bootstrap: int
    ece_of_chance: float | None = None
    """Calibration error that perfectly calibrated scores of so many items stay below in 19 of 20 cases."""
    estimates: dict[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.estimates[name]

    def scalars(self, prefix: str) -> dict[str, float | None]:
        """Return the numbers by prefixed name, e.g. `test_auc`, with the bounds of the AUC, for MLflow."""
        auc = self.estimates["auc"]
        values = {name: estimate.value for name, estimate in self.estimates.items()}
        counts = {"n": self.n, "n_real": self.n_real, "n_fake": self.n_fake}
        rest = {"auc_low": auc.low, "auc_high": auc.high, "share_not_applicable": self.share_not_applicable}
        return {f"{prefix}{name}": value for name, value in (values | counts | rest).items()}

    def describe(self) -> str:
        """Return one line for a person."""
        if self.status == "empty":
            return f"no {self.unit} has a score: nothing was measured"
        counts = (
            f"{self.n} {self.unit}s ({self.n_real} real, {self.n_fake} fake, {self.num_groups} source groups)"
        )
        if self.status == "one_class":
            return f"{counts}: one class only, so AUC and the like are not defined"
        return f"AUC {self['auc']}, EER {self['eer']}, ECE {self['ece']} on {counts}"


def measure(
    scores: pd.DataFrame,
    *,
    num_bootstrap: int,
    seed: int,
    threshold: float = 0.5,
    fpr_levels: Sequence[float] = FPR_LEVELS,
    unit: Unit = "file",
) -> Metrics:
    """Return the metrics of scored files or faces.

    Args:
        scores: one row a file: `media_id` (`crop_id` of faces), `label` (real | fake), `group_id` and
            `p_fake` (0-1; NaN for a file without score: it counts in `share_not_applicable` alone).
        num_bootstrap: resamples of the source groups behind each interval.
        seed: of the resamples; the same seed gives the same intervals.
        threshold: p_fake from which a file counts as fake.
        fpr_levels: false positive rates at which the true positive rate is read off the ROC.
        unit: what a row is; intervals resample whole source groups either way.

    Raises:
        DataError: a column is missing, a file has two rows, or a value is out of range.
    """
    check_scores(scores, unit=unit)
    scored = scores[scores["p_fake"].notna()]
    is_fake = (scored["label"] == "fake").to_numpy()
    p_fake = scored["p_fake"].to_numpy(dtype=np.float64)
    groups = scored["group_id"].to_numpy()

    def compute(chosen: NDArray[np.int64] | slice) -> dict[str, float]:
        return _numbers(is_fake[chosen], p_fake[chosen], threshold=threshold, fpr_levels=fpr_levels)

    resamples = resample_groups(groups, num_bootstrap=num_bootstrap, seed=seed)
    resampled = [compute(items) for items in resamples]
    status: Status = "ok" if is_fake.any() and not is_fake.all() else "one_class"
    return Metrics(
        status=status if len(is_fake) else "empty",
        unit=unit,
        n=len(scored),
        n_real=int((~is_fake).sum()),
        n_fake=int(is_fake.sum()),
        num_groups=len(set(groups)),
        share_not_applicable=1.0 - len(scored) / len(scores) if len(scores) else None,
        threshold=threshold,
        num_bootstrap=len(resampled),
        ece_of_chance=calibration_error_of_chance(p_fake, seed=seed) if len(p_fake) else None,
        estimates={
            name: _estimate(name, value, [each[name] for each in resampled])
            for name, value in compute(slice(None)).items()
        },
    )


def check_scores(scores: pd.DataFrame, *, unit: Unit = "file") -> None:
    """Return if the table can be measured.

    Args:
        scores: a row a file, columns as for `measure`.
        unit: what a row is: a file or a face.

    Raises:
        DataError: a column is missing, a file or face has two rows, or a value is out of range.
    """
    key = KEYS[unit]
    missing = [name for name in (key, *REQUIRED_COLUMNS) if name not in scores]
    if missing:
        raise DataError(f"scores: the columns {', '.join(missing)} are missing; score the files again")
    doubled = scores[key].duplicated()
    if doubled.any():
        raise DataError(
            f"scores: {unit} {scores[key][doubled].iloc[0]} has two rows; each {unit} counts once"
        )
    wrong = sorted(set(scores["label"].astype(str)) - {"real", "fake"})
    if wrong:
        raise DataError(f"scores: label '{wrong[0]}' is neither real nor fake; correct the manifest")
    known = scores["p_fake"].dropna()
    if not known.between(0.0, 1.0).all():
        raise DataError(
            "scores: p_fake holds values outside 0-1; score the files again with a calibrated model"
        )


def fpr_metric_name(fpr: float) -> str:
    """Return the name of the metric "TPR at this FPR", e.g. `tpr_at_fpr_1pct`."""
    return f"tpr_at_fpr_{fpr * 100:g}pct".replace(".", "_")


def _numbers(
    is_fake: BoolArray, p_fake: FloatArray, *, threshold: float, fpr_levels: Sequence[float]
) -> dict[str, float]:
    """Return every metric; NaN where it is not defined."""
    nan = float("nan")
    curve = roc_curve(is_fake, p_fake)
    eps = np.finfo(np.float64).eps
    of_truth = np.clip(np.where(is_fake, p_fake, 1.0 - p_fake), eps, 1.0)
    at_levels = {fpr_metric_name(level): curve.tpr_at(level) if curve else nan for level in fpr_levels}
    return {
        "auc": curve.auc if curve else nan,
        "ap": curve.average_precision if curve else nan,
        "eer": curve.equal_error_rate if curve else nan,
        **at_levels,
        **_at_threshold(is_fake, p_fake >= threshold),
        "log_loss": float(-np.log(of_truth).mean()) if len(p_fake) else nan,
        "brier": float(np.mean((p_fake - is_fake) ** 2)) if len(p_fake) else nan,
        "ece": calibration_error(is_fake, p_fake),
    }


def _at_threshold(is_fake: BoolArray, called_fake: BoolArray) -> dict[str, float]:
    caught, alarms = int((is_fake & called_fake).sum()), int((~is_fake & called_fake).sum())
    num_fake, num_real = int(is_fake.sum()), int((~is_fake).sum())
    both = num_fake > 0 and num_real > 0
    return {
        "f1": 2 * caught / (num_fake + caught + alarms) if both else float("nan"),
        "accuracy": float(np.mean(is_fake == called_fake)) if both else float("nan"),
        "tpr": caught / num_fake if num_fake else float("nan"),
        "fpr": alarms / num_real if num_real else float("nan"),
    }


def _estimate(name: str, value: float, resampled: list[float]) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None)
    if name not in RAISED_BY_NOISE:
        return Estimate.from_resamples(value, resampled)
    bounds = quantiles_around(value, np.array(resampled), INTERVAL)
    if bounds is None:
        return Estimate(value=value)
    return Estimate(value=value, low=max(bounds[0], 0.0), high=bounds[1])


class MeasuredPoint(Frozen):
    """One operating point and its rates; a rate is None where there is no file of that class."""

    name: str
    threshold: float
    inconclusive_from: float
    fpr: Estimate
    """False positive rate: share of reals called fake."""
    tpr: Estimate
    """True positive rate: share of fakes called fake."""
    share_inconclusive: float | None
    """Share of all scored files between `inconclusive_from` and the threshold."""


def measure_points(scores: pd.DataFrame, points: Mapping[str, OperatingPoint]) -> tuple[MeasuredPoint, ...]:
    """Return the rates of each operating point on the files that have a score (columns as for `measure`).

    Args:
        scores: a row a file, columns as for `measure`.
        points: by name.
    """
    scored = scores[scores["p_fake"].notna()]
    p_fake = scored["p_fake"]
    reals, fakes = (p_fake[scored["label"] == label] for label in ("real", "fake"))
    measured = []
    for name, point in points.items():
        inconclusive = (p_fake >= point.inconclusive_from) & (p_fake < point.threshold)
        measured.append(
            MeasuredPoint(
                name=name,
                threshold=point.threshold,
                inconclusive_from=point.inconclusive_from,
                fpr=share(int((reals >= point.threshold).sum()), len(reals)),
                tpr=share(int((fakes >= point.threshold).sum()), len(fakes)),
                share_inconclusive=float(inconclusive.mean()) if len(p_fake) else None,
            )
        )
    return tuple(measured)
