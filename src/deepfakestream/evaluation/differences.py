"""Paired differences between two models on the same files."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import quantiles, resampled_counts
from deepfakestream.frozen import Frozen

NUM_RESAMPLES = 2000


class Difference(Frozen):
    """AUC of the challenger minus AUC of the champion on the same files, with one-sided bounds."""

    n: int
    challenger_auc: float
    champion_auc: float
    delta: float
    low: float | None
    """The difference is at least this, at the confidence asked for."""
    high: float | None
    """The difference is at most this, at the confidence asked for."""


def auc_difference(pairs: pd.DataFrame, *, confidence: float, seed: int) -> Difference | None:
    """Return the paired difference of the AUCs, or None without both classes.

    Both models are scored on the same resampled source groups, so that what makes files hard cancels out.

    Args:
        pairs: one row a file: `label`, `group_id`, `challenger` and `champion` (each a p_fake).
        confidence: of each one-sided bound.
        seed: of the resamples.
    """
    is_fake = (pairs["label"] == "fake").to_numpy()
    if not is_fake.any() or is_fake.all():
        return None
    ours, theirs = (
        RankedScores(is_fake, pairs[name].to_numpy(dtype=np.float64)) for name in ("challenger", "champion")
    )
    draws = resampled_counts(pairs["group_id"].to_numpy(), num_bootstrap=NUM_RESAMPLES, seed=seed)
    deltas = [ours.auc(counts) - theirs.auc(counts) for counts in draws]
    low, high = quantiles(np.array(deltas), (1.0 - confidence, confidence)) or (None, None)
    challenger_auc, champion_auc = ours.auc(), theirs.auc()
    return Difference(
        n=len(pairs),
        challenger_auc=challenger_auc,
        champion_auc=champion_auc,
        delta=challenger_auc - champion_auc,
        low=low,
        high=high,
    )
