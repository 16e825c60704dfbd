"""Errors of parts of the split: by kind of fake, source, picture quality, pose and a proxy for skin tone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.evaluation.bootstrap import resampled_counts
from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import Estimate, share
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
    """Return the slices with the lowest AUC, the worst first; those with too few files are not ranked."""
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
    if column == "manipulation":
        return _by_manipulation(scored)
    if column in _TERCILES:
        return _by_tercile(scored, column)
    if column in _GROUPS:
        return _by_group(scored, column)
    return _by_value(scored, column)


def _by_manipulation(scored: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each kind of fake against all reals."""
    kinds, is_real = scored["manipulation"].astype(str), scored["label"] == "real"
    for kind in sorted(set(kinds[~is_real])):
        yield kind, scored[is_real | (kinds == kind)]


def _by_value(scored: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    known = scored[scored[column].notna()]
    values = sorted(set(known[column].astype(str)))
    if len(values) > 1:
        for value in values:
            yield value, known[known[column].astype(str) == value]


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
    return Slice(
        column=column,
        name=name,
        status="ok" if enough else "insufficient",
        n_real=int((~is_fake).sum()),
        n_fake=int(is_fake.sum()),
        auc=_auc(rows, num_bootstrap=num_bootstrap, seed=seed) if enough else Estimate(value=None),
        fpr=_rate(called[~is_fake]),
        tpr=_rate(called[is_fake]),
    )


def _auc(rows: pd.DataFrame, *, num_bootstrap: int, seed: int) -> Estimate:
    """Return the AUC of rows with both classes, its interval from resampled source groups."""
    ranked = RankedScores((rows["label"] == "fake").to_numpy(), rows["p_fake"].to_numpy(dtype=np.float64))
    draws = resampled_counts(rows["group_id"].to_numpy(), num_bootstrap=num_bootstrap, seed=seed)
    return Estimate.from_resamples(ranked.auc(), [ranked.auc(counts) for counts in draws])


def _rate(called: NDArray[np.bool_]) -> Estimate:
    return share(int(called.sum()), len(called)) if len(called) >= MIN_PER_CLASS else Estimate(value=None)
