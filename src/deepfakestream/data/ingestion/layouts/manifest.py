"""A table that names each file and its label: CSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.ingestion.layouts.originals import group_rows, names_of
from deepfakestream.data.ingestion.layouts.tables import find_table, optional_cells, read_table, table_columns
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError

REQUIRED = ("file", "label")


class ManifestLayout:
    """Rows with `file` and `label`, and optionally group_id, original, identity, manipulation, split, ...

    `file` is relative to the manifest's folder. A fake may name its `original` instead of a `group_id`, by
    path or name, with or without suffix; it is in its original's group then.
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
        rows = read_table(table, required=REQUIRED)
        for row, grouped in zip(rows, group_rows(table, rows), strict=True):
            yield SourceItem(
                name=row["file"],
                path=table.parent / row["file"],
                label=row["label"] or None,
                is_crop=row.get("kind", "") == "crop",
                group=grouped.group,
                links=grouped.links,
                **optional_cells(row),
            )

    def clips(self, name: str) -> tuple[str, ...]:
        """Return what a cell `original` may call an item of this name."""
        return names_of(name)
