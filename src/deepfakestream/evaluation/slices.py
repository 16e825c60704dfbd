"""Metrics of parts of the set: each manipulation against all reals; thirds by face size, sharpness, luma."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from deepfakestream.evaluation.metrics import Metrics, measure

MIN_N = 30
MIN_PER_CLASS = 10
"""Slices with fewer scored files, or fewer of a class, get no numbers: they would be read as a finding."""

TERCILE_COLUMNS = {"face_px": "px", "sharpness": "", "luma": ""}
_TERCILE_NAMES = ("low", "middle", "high")


class Slice(BaseModel):
    """One part of the set. `metrics` is None where `status` is `insufficient`."""

    model_config = ConfigDict(frozen=True)

    column: str
    """What it is cut by: `manipulation`, `face_px`, `sharpness` or `luma`."""
    name: str
    status: Literal["ok", "insufficient"]
    n_real: int
    n_fake: int
    metrics: Metrics | None


def measure_slices(
    scores: pd.DataFrame, *, threshold: float, num_bootstrap: int, seed: int
) -> tuple[Slice, ...]:
    """Return the slices of scored files, in the order manipulation, face size, sharpness, luma.

    Args:
        scores: as for `metrics.measure`, with `manipulation`, `face_px`, `sharpness` and `luma`.
        threshold: p_fake from which a file counts as fake.
        num_bootstrap: resamples behind each interval.
        seed: of the resamples.
    """
    return tuple(
        _measure_slice(
            part, column=column, name=name, threshold=threshold, num_bootstrap=num_bootstrap, seed=seed
        )
        for column, name, part in cut(scores)
    )


def cut(scores: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return `(column, name, rows)` of every slice of the files that have a score."""
    scored = scores[scores["p_fake"].notna()]
    parts = [("manipulation", name, rows) for name, rows in _by_manipulation(scored)]
    for column, unit in TERCILE_COLUMNS.items():
        parts += [(column, name, rows) for name, rows in _by_tercile(scored, column, unit)]
    return parts


def is_sufficient(rows: pd.DataFrame) -> bool:
    """Tell whether the rows are enough for numbers."""
    num_fake = int((rows["label"] == "fake").sum())
    return len(rows) >= MIN_N and min(num_fake, len(rows) - num_fake) >= MIN_PER_CLASS


def _by_manipulation(scored: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    is_real = scored["label"] == "real"
    kinds = sorted(set(scored.loc[~is_real, "manipulation"].astype(str)))
    return [(kind, scored[is_real | (scored["manipulation"].astype(str) == kind)]) for kind in kinds]


def _by_tercile(scored: pd.DataFrame, column: str, unit: str) -> list[tuple[str, pd.DataFrame]]:
    values = scored[column].to_numpy(dtype=np.float64)
    if len(values) == 0 or np.nanmin(values) == np.nanmax(values):
        return []
    low, high = np.nanquantile(values, [1 / 3, 2 / 3])
    third = np.where(values < low, 0, np.where(values < high, 1, 2))
    bounds = (f"< {low:.3g}", f"{low:.3g}–{high:.3g}", f"≥ {high:.3g}")
    return [
        (f"{name} ({bound}{' ' + unit if unit else ''})", scored[third == index])
        for index, (name, bound) in enumerate(zip(_TERCILE_NAMES, bounds, strict=True))
    ]


def _measure_slice(
    rows: pd.DataFrame, *, column: str, name: str, threshold: float, num_bootstrap: int, seed: int
) -> Slice:
    num_fake = int((rows["label"] == "fake").sum())
    enough = is_sufficient(rows)
    return Slice(
        column=column,
        name=name,
        status="ok" if enough else "insufficient",
        n_real=len(rows) - num_fake,
        n_fake=num_fake,
        metrics=measure(rows, threshold=threshold, num_bootstrap=num_bootstrap, seed=seed)
        if enough
        else None,
    )
