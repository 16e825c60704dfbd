"""From two tables to columns that can be compared, and a reason for each that cannot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from deepfakestream.monitoring.drift_report import ColumnDrift

MAX_MISSING_RISE = 0.5
"""A column whose share of missing values rose by more than this has drifted: its source is broken."""


def clean(table: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of `kinds`, missing ones filled with NaN, infinities and non-numbers as NaN.

    Args:
        table: any columns.
        kinds: column name to `numerical` or `categorical`.
    """
    columns = {}
    for name, kind in kinds.items():
        values = table[name] if name in table else pd.Series(np.nan, index=table.index)
        if kind == "numerical":
            numbers = pd.to_numeric(values, errors="coerce").astype("float64")
            columns[name] = numbers.where(np.isfinite(numbers))
        else:
            columns[name] = values.astype("object").where(values.notna())
    return pd.DataFrame(columns).reset_index(drop=True)


def not_comparable(
    current: pd.DataFrame, reference: pd.DataFrame, kinds: Mapping[str, str], *, minimum: int
) -> dict[str, ColumnDrift]:
    """Return the finding on every column that cannot be compared by its values.

    Args:
        current: cleaned window, one row a prediction.
        reference: cleaned reference, one row a test file.
        kinds: column to kind.
        minimum: values that either side needs.
    """
    findings = {}
    for name, kind in kinds.items():
        drifted, note = _why_not(current[name], reference[name], minimum)
        if note:
            findings[name] = ColumnDrift(name=name, kind=kind, drifted=drifted, note=note)
    return findings


def _why_not(current: pd.Series, reference: pd.Series, minimum: int) -> tuple[bool, str]:
    known = reference.dropna()
    if len(known) >= minimum and known.nunique() == 1:
        return False, f"not compared: the reference knows one value only, {known.iloc[0]}"
    if reference.count() < minimum:
        return False, f"not compared: the reference has {reference.count()} values, {minimum} are needed"
    now, before = float(current.isna().mean()), float(reference.isna().mean())
    if now - before > MAX_MISSING_RISE:
        return True, f"{now:.0%} of the values are missing, {before:.0%} in the reference"
    if current.count() < minimum:
        return False, f"not compared: the window has {current.count()} values, {minimum} are needed"
    return False, ""
