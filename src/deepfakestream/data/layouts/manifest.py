"""A table that names each file and its label: CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.layouts.tables import find_table, optional_cells, read_table, table_columns
from deepfakestream.data.layouts.types import SourceItem
from deepfakestream.errors import DataError

REQUIRED = ("file", "label")


class ManifestLayout:
    """Rows with `file` and `label`, and optionally group_id, original, identity, manipulation, split, ...

    `file` is relative to the manifest's folder. A fake may name its `original` instead of a `group_id`.
    """

    name = "manifest"
    summary = "a CSV or Parquet table with at least file,label, or a folder with manifest.csv"
    covers = frozenset({"folders"})

    def matches(self, source: Path) -> bool:
        """Say whether there is a table with the required columns."""
        table = find_table(source)
        return table is not None and set(REQUIRED) <= table_columns(table)

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield one item a row, in the order of the table."""
        table = find_table(source)
        if table is None:
            raise DataError(f"{source}: no manifest.csv or manifest.parquet there; name the table itself")
        for row in read_table(table, required=REQUIRED):
            yield SourceItem(
                name=row["file"],
                path=table.parent / row["file"],
                label=row["label"] or None,
                is_crop=row.get("kind", "") == "crop",
                group=_group(row),
                **optional_cells(row),
            )


def _group(row: dict[str, str]) -> str | None:
    if row.get("group_id"):
        return row["group_id"]
    if "original" not in row:
        return None
    # With an `original` column a real is the group that its fakes name, with or without folder and suffix.
    return Path(row["original"] or row["file"]).stem
