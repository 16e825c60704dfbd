"""How unevenly errors fall: the best slice minus the worst of each cut, with n and an interval.

The extremes of several slices differ by chance alone, and more so the more slices there are: an interval that
only just excludes 0 is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.evaluation.bootstrap import resampled_counts
from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.evaluation.slices import TITLES, Slice, cut
from deepfakestream.frozen import Frozen

_Statistic = Callable[[NDArray[np.int64]], float]


class Gap(Frozen):
    """The two slices of one cut that differ most in one number."""

    column: str
    measure: Literal["auc", "fpr"]
    """`fpr`: false positive rate; its worst slice is the highest."""
    worst: str
    best: str
    n_worst: int
    n_best: int
    value_worst: float
    value_best: float
    gap: Estimate
    """Difference, 0 or more, with the interval of resampled source groups."""

    @property
    def title(self) -> str:
        """What was cut by, in words."""
        return TITLES[self.column]


def measure_gaps(
    scores: pd.DataFrame, slices: Sequence[Slice], *, threshold: float, num_bootstrap: int, seed: int
) -> tuple[Gap, ...]:
    """Return the gaps of every cut with at least two slices that have enough files, the widest AUC first.

    Args:
        scores: the files that `slices` were measured on.
        slices: what `slices.measure_slices` returned.
        threshold: p_fake from which a file counts as fake.
        num_bootstrap: resamples of source groups; both slices of a gap see the same.
        seed: of the resamples.
    """
    scored = scores[scores["p_fake"].notna()].reset_index(drop=True)
    rows_of = {(column, name): rows.index.to_numpy() for column, name, rows in cut(scored)}
    found = []
    for column, group in groupby(slices, key=lambda each: each.column):
        parts = list(group)
        rankings: dict[Literal["auc", "fpr"], list[Slice]] = {
            "auc": _by_auc(parts),
            "fpr": _by_fpr(column, parts),
        }
        for measure, ranked in rankings.items():
            if len(ranked) > 1:
                worst, best = ranked[0], ranked[-1]
                statistics = [
                    _statistic(scored, rows_of[column, each.name], measure, threshold)
                    for each in (worst, best)
                ]
                draws = _draws(scored, num_bootstrap=num_bootstrap, seed=seed)
                found.append(_gap(measure, worst, best, statistics, draws))
    return tuple(sorted(found, key=lambda each: (each.measure, -(each.gap.value or 0.0))))


def _by_auc(parts: list[Slice]) -> list[Slice]:
    """Return the slices that may be ranked, worst first."""
    return sorted((each for each in parts if each.status == "ok"), key=lambda each: each.auc.value or 0.0)


def _by_fpr(column: str, parts: list[Slice]) -> list[Slice]:
    if column == "manipulation":  # its slices share their reals
        return []
    return sorted(
        (each for each in parts if each.fpr.value is not None), key=lambda each: -(each.fpr.value or 0.0)
    )


def _statistic(scored: pd.DataFrame, rows: NDArray[np.int64], measure: str, threshold: float) -> _Statistic:
    """Return the function from how often each file was drawn to the slice's number."""
    part = scored.iloc[rows]
    is_fake = (part["label"] == "fake").to_numpy()
    p_fake = part["p_fake"].to_numpy(dtype=np.float64)
    if measure == "auc":
        ranked = RankedScores(is_fake, p_fake)
        return lambda counts: ranked.auc(counts[rows])
    reals, alarms = rows[~is_fake], (p_fake[~is_fake] >= threshold).astype(np.int64)

    def rate(counts: NDArray[np.int64]) -> float:
        drawn = counts[reals]
        return float(drawn @ alarms / drawn.sum()) if drawn.sum() else float("nan")

    return rate


def _gap(
    measure: Literal["auc", "fpr"],
    worst: Slice,
    best: Slice,
    statistics: Sequence[_Statistic],
    draws: Iterable[NDArray[np.int64]],
) -> Gap:
    """Return the gap between two slices; the first of `draws` is the split itself, the others resamples."""
    pairs = np.array([[statistic(counts) for statistic in statistics] for counts in draws])
    value_worst, value_best = (float(value) for value in pairs[0])
    differences = (pairs[:, 1] - pairs[:, 0]) * (1.0 if measure == "auc" else -1.0)
    counted = [each.n_real + (each.n_fake if measure == "auc" else 0) for each in (worst, best)]
    return Gap(
        column=worst.column,
        measure=measure,
        worst=worst.name,
        best=best.name,
        n_worst=counted[0],
        n_best=counted[1],
        value_worst=value_worst,
        value_best=value_best,
        gap=Estimate.from_resamples(float(differences[0]), differences[1:]),
    )


def _draws(scored: pd.DataFrame, *, num_bootstrap: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each file counts: once each, then as each resample drew it."""
    yield np.ones(len(scored), dtype=np.int64)
    yield from resampled_counts(scored["group_id"].to_numpy(), num_bootstrap=num_bootstrap, seed=seed)
