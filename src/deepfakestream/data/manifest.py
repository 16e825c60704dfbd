"""The manifest: `data/manifest.parquet`, one row an item, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepfakestream.data.columns import MANIFEST_COLUMNS
from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import replacing

MANIFEST_FILE = "manifest.parquet"

_NUMBERS = {
    "size_bytes": pa.int64(),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "duration_s": pa.float64(),
    "fps": pa.float64(),
    "jpeg_quality": pa.float64(),
}
SCHEMA = pa.schema([(name, _NUMBERS.get(name, pa.string())) for name in MANIFEST_COLUMNS])

MEDIA_DIR = "media"
PACKS_DIR = "packs"


def read_manifest(data_dir: Path) -> pd.DataFrame:
    """Return the dataset's items, one row each with `MANIFEST_COLUMNS`, ordered by `media_id`.

    Raises:
        DataError: nothing has been ingested, or the file is damaged.
    """
    path = data_dir / MANIFEST_FILE
    if not path.exists():
        raise DataError(
            f"{path}: missing; take media in with 'deepfakestream ingest SOURCE' or run 'dvc pull'"
        )
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path}: damaged ({error}); restore it with 'dvc checkout data.dvc --force'"
        ) from error
    missing = [name for name in MANIFEST_COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: lacks the columns {', '.join(missing)}; ingest the sources again")
    return frame


def read_manifest_or_empty(data_dir: Path) -> pd.DataFrame:
    """Return the dataset's items, or a table without rows where nothing has been ingested yet."""
    if (data_dir / MANIFEST_FILE).exists():
        return read_manifest(data_dir)
    return to_frame([])


def to_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with the manifest's columns and types."""
    frame: pd.DataFrame = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA).to_pandas()
    return frame


def to_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows, with None where a value is missing."""
    present = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in present.to_dict("records")]


def item_names(manifest: pd.DataFrame) -> pd.Series[str]:
    """Return `source/path` of each item, `(N,)`, with the index of the manifest's rows."""
    return manifest["source"].astype(str) + "/" + manifest["original_name"].astype(str)


def write_manifest(data_dir: Path, frame: pd.DataFrame) -> None:
    """Replace the manifest by these items, ordered by `media_id`.

    Args:
        data_dir: folder of the dataset.
        frame: columns of `MANIFEST_COLUMNS`.

    Raises:
        DataError: two rows have the same `media_id`.
    """
    doubled = frame.loc[frame["media_id"].duplicated(), "media_id"]
    if len(doubled):
        raise DataError(f"manifest: item {doubled.iloc[0]} would have two rows; one file is one item")
    ordered = frame.sort_values("media_id", kind="stable")[list(MANIFEST_COLUMNS)]
    table = pa.Table.from_pandas(ordered, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
    with replacing(data_dir / MANIFEST_FILE) as partial:
        pq.write_table(table, partial, compression="zstd")
