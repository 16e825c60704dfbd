"""Errors of parts of the split (kind of fake, source, quality, pose, skin tone), and gaps between parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import Estimate, resampled_counts, share
from deepfakestream.evaluation.skin_tone import GROUPS as TONE_GROUPS
from deepfakestream.frozen import Frozen

MIN_N = 30
MIN_PER_CLASS = 10
"""Slices with fewer scored files, or fewer of a class, get no AUC: it would be read as a finding."""

TITLES = {
    "manipulation": "fake by",
    "source": "source",
    "codec": "codec",
    "jpeg_quality": "JPEG quality",
    "bits_per_px": "video bits a pixel",
    "face_px": "face size",
    "sharpness": "sharpness",
    "luma": "luma",
    "ita_deg": "skin tone (ITA)",
    "abs_yaw_deg": "head turned",
}
"""What a file is cut by, in the order of the report, with the words for it. Columns that are absent, empty or
of one value only cut nothing; nor do numbers of which most are the least one."""

_UNITS = {"face_px": " px"}
_TERCILES = ("jpeg_quality", "bits_per_px", "face_px", "sharpness", "luma")
_TERCILE_NAMES = ("low", "middle", "high")
_YAW_GROUPS = {"frontal": 15.0, "half turned": 30.0, "turned away": 90.0 + 1e-9}
_GROUPS = {"ita_deg": TONE_GROUPS, "abs_yaw_deg": _YAW_GROUPS}

_Statistic = Callable[[NDArray[np.int64]], float]


class Slice(Frozen):
    """One part of the split; every number has an interval, or is undefined where the files are too few."""

    column: str
    """What it is cut by: a key of `TITLES`."""
    name: str
    status: Literal["ok", "insufficient"]
    """Whether there are enough files of both classes for an AUC; only then may slices be ranked."""
    n_real: int
    n_fake: int
    auc: Estimate
    fpr: Estimate
    """False positive rate: share of reals called fake."""
    tpr: Estimate
    """True positive rate: share of fakes called fake."""

    @property
    def title(self) -> str:
        """What the slice is, in words."""
        return f"{TITLES[self.column]} {self.name}"


def measure_slices(
    scores: pd.DataFrame, *, threshold: float, num_bootstrap: int, seed: int
) -> tuple[Slice, ...]:
    """Return the slices of scored files, in the order of `TITLES`.

    Args:
        scores: as for `metrics.measure`, with any of the columns of `TITLES`.
        threshold: p_fake from which a file counts as fake.
        num_bootstrap: resamples of source groups behind each interval of an AUC.
        seed: of the resamples.
    """
    return tuple(
        _measure_slice(rows, column, name, threshold=threshold, num_bootstrap=num_bootstrap, seed=seed)
        for column, name, rows in cut(scores)
    )


def worst_slices(slices: tuple[Slice, ...], *, limit: int) -> tuple[Slice, ...]:
    """Return the slices with the lowest AUC, the worst first; those with too few files are not ranked.

    Args:
        slices: parts of the split with their measurements.
        limit: how many at most.
    """
    ranked = sorted((each for each in slices if each.status == "ok"), key=lambda each: each.auc.value or 0.0)
    return tuple(ranked[:limit])


def cut(scores: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return `(column, name, rows)` of every slice of the files that have a score."""
    scored = scores[scores["p_fake"].notna()]
    return [
        (column, name, rows)
        for column in TITLES
        if column in scored
        for name, rows in _cut_by(column, scored)
    ]


def is_sufficient(rows: pd.DataFrame) -> bool:
    """Tell whether the rows are enough for an AUC."""
    num_fake = int((rows["label"] == "fake").sum())
    return len(rows) >= MIN_N and min(num_fake, len(rows) - num_fake) >= MIN_PER_CLASS


def _cut_by(column: str, scored: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if column in _TERCILES:
        yield from _by_tercile(scored, column)
    elif column in _GROUPS:
        yield from _by_group(scored, column)
    elif column == "manipulation":  # each kind of fake against all reals
        kinds, is_real = scored["manipulation"].astype(str), scored["label"] == "real"
        for kind in sorted(set(kinds[~is_real])):
            yield kind, scored[is_real | (kinds == kind)]
    else:
        known = scored[scored[column].notna()]
        values = known[column].astype(str)
        if values.nunique() > 1:
            for value in sorted(set(values)):
                yield value, known[values == value]


def _by_tercile(scored: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    known = scored[pd.to_numeric(scored[column]).notna()]
    values = known[column].to_numpy(dtype=np.float64)
    if len(values) == 0 or values.min() == values.max():
        return
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    third = np.where(values < low, 0, np.where(values < high, 1, 2))
    if len(set(third)) == 1:  # most values are the least one
        return
    below, above = _short(low), _short(high)
    bounds = (f"< {below}", f"{below}–{above}", f"≥ {above}")
    for index, (name, bound) in enumerate(zip(_TERCILE_NAMES, bounds, strict=True)):
        if (third == index).any():
            yield f"{name} ({bound}{_UNITS.get(column, '')})", known[third == index]


def _short(value: float) -> str:
    """Return three digits, and no exponent for what is large."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _by_group(scored: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    values: NDArray[np.float64] = scored[column].to_numpy(dtype=np.float64)
    low = -np.inf
    for name, high in _GROUPS[column].items():
        chosen = (values >= low) & (values < high)
        if chosen.any():
            bound = f"< {high:g}°" if low == -np.inf else f"{low:g} to {high:g}°"
            yield f"{name} ({bound})", scored[chosen]
        low = high


def _measure_slice(
    rows: pd.DataFrame, column: str, name: str, *, threshold: float, num_bootstrap: int, seed: int
) -> Slice:
    is_fake = (rows["label"] == "fake").to_numpy()
    called = (rows["p_fake"] >= threshold).to_numpy()
    enough = is_sufficient(rows)
    auc = Estimate(value=None)
    if enough:
        ranked = RankedScores(is_fake, rows["p_fake"].to_numpy(dtype=np.float64))
        draws = resampled_counts(rows["group_id"].to_numpy(), num_bootstrap=num_bootstrap, seed=seed)
        auc = Estimate.from_resamples(ranked.auc(), [ranked.auc(counts) for counts in draws])
    return Slice(
        column=column,
        name=name,
        status="ok" if enough else "insufficient",
        n_real=int((~is_fake).sum()),
        n_fake=int(is_fake.sum()),
        auc=auc,
        fpr=_rate(called[~is_fake]),
        tpr=_rate(called[is_fake]),
    )


def _rate(called: NDArray[np.bool_]) -> Estimate:
    return share(int(called.sum()), len(called)) if len(called) >= MIN_PER_CLASS else Estimate(value=None)


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
        scores: one row a file, those that `slices` were measured on.
        slices: what `slices.measure_slices` returned.
        threshold: p_fake from which a file counts as fake.
        num_bootstrap: resamples of source groups; both slices of a gap see the same.
        seed: of the resamples.
    """
    scored = scores[scores["p_fake"].notna()].reset_index(drop=True)
    groups, each_once = scored["group_id"].to_numpy(), np.ones(len(scored), dtype=np.int64)
    rows_of = {(column, name): rows.index.to_numpy() for column, name, rows in cut(scored)}
    found = []
    for column, group in groupby(slices, key=lambda each: each.column):
        parts = list(group)
        rankings: dict[Literal["auc", "fpr"], list[Slice]] = {
            "auc": sorted(
                (each for each in parts if each.status == "ok"), key=lambda each: each.auc.value or 0.0
            ),
            "fpr": [],
        }
        if column != "manipulation":  # its slices share their reals
            known = (each for each in parts if each.fpr.value is not None)
            rankings["fpr"] = sorted(known, key=lambda each: -(each.fpr.value or 0.0))
        for measure, ranked in rankings.items():
            if len(ranked) > 1:
                worst, best = ranked[0], ranked[-1]
                statistics = [
                    _statistic(scored, rows_of[column, each.name], measure, threshold)
                    for each in (worst, best)
                ]
                draws = resampled_counts(groups, num_bootstrap=num_bootstrap, seed=seed)
                found.append(_gap(measure, worst, best, statistics, chain([each_once], draws)))
    return tuple(sorted(found, key=lambda each: (each.measure, -(each.gap.value or 0.0))))


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
