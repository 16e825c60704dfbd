"""Reading the tables that describe a source: CSV or Parquet, every cell a stripped string."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd
import pyarrow as pa

from deepfakestream.errors import DataError

TABLE_NAMES = ("manifest.csv", "manifest.parquet")


def find_table(source: Path) -> Path | None:
    """Return the manifest that a source is or holds, else None.

    Raises:
        DataError: the source holds two.
    """
    if source.is_file():
        return source if source.suffix.lower() in {".csv", ".parquet"} else None
    tables = [source / name for name in TABLE_NAMES if (source / name).is_file()]
    if len(tables) > 1:
        raise DataError(f"{source}: holds {' and '.join(TABLE_NAMES)}; name the one that is to be read")
    return tables[0] if tables else None


def table_columns(path: Path) -> set[str]:
    """Return the column names of a table; empty where it cannot be read."""
    try:
        return set(_load(path, num_rows=0).columns)
    except DataError:
        return set()


def read_table(path: Path, *, required: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a table as strings; an empty cell is an empty string.

    Args:
        path: .csv or .parquet.
        required: columns that it must have.

    Raises:
        DataError: the table cannot be read, lacks a required column or has no rows.
    """
    frame = _load(path, num_rows=None)
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"a manifest needs at least {', '.join(required)}"
        )
    if frame.empty:
        raise DataError(f"{path}: has no rows; list at least one file")
    return [{str(name): str(cell) for name, cell in row.items()} for row in frame.to_dict("records")]


class OptionalCells(TypedDict):
    """Cells that any table may have, by the names of `SourceItem`; None where empty or absent."""

    manipulation: str | None
    identity: str | None
    split: str | None
    source: str | None
    licence: str | None


def optional_cells(row: dict[str, str]) -> OptionalCells:
    """Return the cells of a row that any table may have."""
    return OptionalCells(
        manipulation=row.get("manipulation") or None,
        identity=row.get("identity") or None,
        split=row.get("split") or None,
        source=row.get("source") or None,
        licence=row.get("licence") or None,
    )


def _load(path: Path, *, num_rows: int | None) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=num_rows, encoding="utf-8-sig")
        else:
            frame = pd.read_parquet(path, dtype_backend="numpy_nullable").astype(object).map(_as_text)
    except (
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
        pa.ArrowInvalid,
        OSError,
    ) as error:
        raise DataError(f"{path}: not a readable table ({error}); save it as UTF-8 CSV or Parquet") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(
            f"{path}: rows have more cells than the header has names; take away commas at their ends, or "
            "name the columns"
        )
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame.map(str.strip)


def _as_text(cell: Any) -> str:
    """Return a cell of Parquet as CSV has it: pandas writes whole numbers with gaps as 7.0."""
    if pd.isna(cell) is True:  # of a list it is an array
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
