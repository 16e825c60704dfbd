"""How good the model is on today's traffic: expected from its scores, and measured where people gave labels.

The expectation takes each calibrated score as the probability that its file is fake (confidence-based
performance estimation). It sees that scores move to the middle. It cannot see a fake of a new kind that the
model takes for genuine, and it is wrong where the share of fakes is not the one that the scores are
calibrated for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from deepfakestream.arrays import BoolArray, FloatArray
from deepfakestream.evaluation.estimate import Estimate, resampled_counts, share
from deepfakestream.frozen import Frozen
from deepfakestream.monitoring.groups import groups_of

NUM_BOOTSTRAP = 400
MAX_MEASURED = 2000
"""Files with a label that are measured, the newest."""
_SEED = 0
WARNING = (
    "Expected numbers hold only where scores are calibrated for this traffic; a new kind of fake, which the "
    "model takes for genuine, does not lower them."
)
_WORDS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "tpr": "true positive rate",
    "fpr": "false positive rate",
    "share_fake": "share of fakes",
}


class Performance(Frozen):
    """Numbers by name: `auc`, and `accuracy`, `tpr`, `fpr` at the thresholds in force; `share_fake`."""

    expected: dict[str, Estimate] = Field(default_factory=dict)
    """From scores alone; the intervals hold what would be measured on so many files. Empty: too few."""
    num_expected: int = 0
    """Scores that the expectation rests on."""
    measured: dict[str, Estimate] = Field(default_factory=dict)
    """On files whose label is known from feedback; empty: there are none."""
    num_real: int = 0
    """Files that people called genuine."""
    num_fake: int = 0
    """Files that people called fake."""

    def lines(self) -> list[str]:
        """Return what is known, as lines for a person."""
        lines = []
        if self.expected:
            lines.append(f"expected on {self.num_expected} scores: {_in_words(self.expected)}")
        if self.measured:
            counts = f"{self.num_real} genuine, {self.num_fake} fake"
            lines.append(f"measured on labelled files ({counts}): {_in_words(self.measured)}")
        return [*lines, WARNING] if self.expected else lines


def expected_performance(predictions: pd.DataFrame, *, minimum: int) -> Performance:
    """Return what the scores of predictions promise about themselves.

    Args:
        predictions: `p_fake` (NaN without a face), `threshold`, `media_sha256`, `client`.
        minimum: scores that are needed.
    """
    scored = predictions[predictions["p_fake"].notna()]
    if len(scored) < minimum:
        return Performance()
    p_fake = scored["p_fake"].to_numpy(np.float64)
    is_flagged = p_fake >= scored["threshold"].to_numpy(np.float64)
    counts = _resamples(scored)
    fakes = np.random.default_rng(_SEED).binomial(counts, p_fake)
    value = _numbers(p_fake, is_flagged, p_fake[None], 1.0 - p_fake[None], own_pairs=p_fake * (1.0 - p_fake))
    resampled = _numbers(p_fake, is_flagged, fakes, counts - fakes)
    expected = {
        name: Estimate.from_resamples(float(value[name][0]), resampled[name].tolist())
        for name in value
        if np.isfinite(value[name][0])
    }
    return Performance(expected=expected, num_expected=len(scored))


def with_measured(
    performance: Performance, predictions: pd.DataFrame, labels: Mapping[str, str]
) -> Performance:
    """Return the performance, and with it what was measured on predictions with a label.

    Args:
        performance: what was expected.
        predictions: `prediction_id`, `p_fake`, `threshold`, `media_sha256`, `client`, oldest first; of
            several predictions of one file the last counts.
        labels: prediction id to `real` or `fake`.
    """
    known = predictions[predictions["p_fake"].notna() & predictions["prediction_id"].isin(list(labels))]
    known = known.reset_index(drop=True)
    files = known["media_sha256"].astype("object").fillna(known["prediction_id"])
    known = known[~files.duplicated(keep="last")].tail(MAX_MEASURED)
    if known.empty:
        return performance
    p_fake = known["p_fake"].to_numpy(np.float64)
    is_fake = (known["prediction_id"].map(dict(labels)) == "fake").to_numpy(bool)
    is_flagged = p_fake >= known["threshold"].to_numpy(np.float64)
    num_fake, num_real = int(is_fake.sum()), int((~is_fake).sum())
    measured = {
        "accuracy": share(int((is_flagged == is_fake).sum()), len(known)),
        "tpr": share(int((is_flagged & is_fake).sum()), num_fake),
        "fpr": share(int((is_flagged & ~is_fake).sum()), num_real),
    }
    if num_fake and num_real:
        counts = _resamples(known)
        value = _numbers(p_fake, is_flagged, is_fake[None], ~is_fake[None])["auc"][0]
        resampled = _numbers(p_fake, is_flagged, counts * is_fake, counts * ~is_fake)["auc"]
        measured = {"auc": Estimate.from_resamples(float(value), resampled.tolist()), **measured}
    return performance.model_copy(update={"measured": measured, "num_real": num_real, "num_fake": num_fake})


def _resamples(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Return how often each row is in each resample of the groups, `(k, n)`; k is 0 for a single group."""
    groups = groups_of(predictions).to_numpy()
    counts = list(resampled_counts(groups, num_bootstrap=NUM_BOOTSTRAP, seed=_SEED))
    return np.array(counts, dtype=np.int64).reshape(len(counts), len(predictions))


def _numbers(
    p_fake: FloatArray,
    is_flagged: BoolArray,
    fakes: ArrayLike,
    reals: ArrayLike,
    *,
    own_pairs: ArrayLike = 0.0,
) -> dict[str, FloatArray]:
    """Return the numbers for each row of weights `(k, n)`, each `(k,)`; NaN where not defined.

    Args:
        p_fake: scores, `(n,)`.
        is_flagged: whether a score reaches its threshold, `(n,)`.
        fakes: how much of each file is fake.
        reals: how much of it is genuine.
        own_pairs: pairs of a fake and a genuine file that a file makes with itself; no such pair counts.
    """
    fakes, reals = np.asarray(fakes, np.float64), np.asarray(reals, np.float64)
    num_fake, num_real = fakes.sum(axis=1), reals.sum(axis=1)
    caught, wrong = fakes @ is_flagged, reals @ is_flagged
    order = np.argsort(p_fake, kind="stable")
    first = np.flatnonzero(np.diff(p_fake[order], prepend=-np.inf))
    fakes_of, reals_of = (np.add.reduceat(each[:, order], first, axis=1) for each in (fakes, reals))
    below = np.cumsum(reals_of, axis=1) - reals_of / 2.0
    same = float(np.sum(own_pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "auc": ((fakes_of * below).sum(axis=1) - same / 2.0) / (num_fake * num_real - same),
            "accuracy": (caught + num_real - wrong) / (num_fake + num_real),
            "tpr": caught / num_fake,
            "fpr": wrong / num_real,
            "share_fake": num_fake / (num_fake + num_real),
        }


def _in_words(numbers: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{_WORDS[name]} {number}" for name, number in numbers.items())
