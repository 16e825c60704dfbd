"""Face crops in tar shards with one table: `manifest.csv` with at least file,shard,label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.ingestion.layouts.originals import group_rows, names_of
from deepfakestream.data.ingestion.layouts.tables import find_table, optional_cells, read_table, table_columns
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError

REQUIRED = ("file", "shard", "label")


class CropShardsLayout:
    """Pictures that are face crops already; the source's own split and groups are kept.

    A row without a group is in that of the row that its cell `original` names, where there is such a column.

    The source is the folder, its table, or one of its tars (then only that shard is taken).
    """

    name = "crop_shards"
    summary = "face crops in tar shards and a table with at least file,shard,label"
    covers = frozenset({"manifest", "folders"})

    def matches(self, source: Path) -> bool:
        """Say whether the table names a shard for each file."""
        table = find_table(_home(source))
        return table is not None and set(REQUIRED) <= table_columns(table)

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield one item a row, in the order of the table."""
        table = find_table(_home(source))
        if table is None:
            raise DataError(
                f"{source}: no manifest.csv next to the tar shards; add one with {','.join(REQUIRED)}"
            )
        rows = read_table(table, required=REQUIRED)
        videos = _Videos(table, rows)
        with_groups = [{**row, "group_id": videos.group(row)} for row in rows]
        for row, grouped in zip(rows, group_rows(table, with_groups), strict=True):
            if _is_tar(source) and row["shard"] != source.name:
                continue
            yield SourceItem(
                name=row["file"],
                path=table.parent / row["shard"],
                member=row["file"],
                label=row["label"] or None,
                is_crop=True,
                group=grouped.group,
                links=grouped.links,
                **optional_cells(row),
            )

    def clips(self, name: str) -> tuple[str, ...]:
        """Return what a cell `original` may call an item of this name."""
        return names_of(name)


def _home(source: Path) -> Path:
    return source.parent if _is_tar(source) else source


def _is_tar(source: Path) -> bool:
    return source.suffix == ".tar"


class _Videos:
    """The groups of a table whose rows may tell a group, a video, or the video that theirs was made of."""

    def __init__(self, table: Path, rows: list[dict[str, str]]) -> None:
        self._table = table
        self._groups: dict[str, set[str]] = {}
        self._made_of: dict[str, set[str]] = {}
        for row in rows:
            source, video = row.get("source_video", ""), row.get("video", "")
            for name in {source, video} - {""}:
                if row.get("group_id"):
                    self._groups.setdefault(name, set()).add(row["group_id"])
            if source and video:
                self._made_of.setdefault(video, set()).add(source)

    def group(self, row: dict[str, str]) -> str:
        """Return a row's own group, else that of other rows of its video, else the video; empty for neither.

        Raises:
            DataError: the other rows say several.
        """
        if row.get("group_id"):
            return row["group_id"]
        video = row.get("video", "")
        source = row.get("source_video") or self._only(video, self._made_of) or ""
        group = self._only(source, self._groups) or self._only(video, self._groups)
        return group or source or video

    def _only(self, video: str, known: dict[str, set[str]]) -> str | None:
        found = sorted(known.get(video, set()))
        if len(found) > 1:
            groups = " and ".join(map(repr, found[:3]))
            raise DataError(
                f"{self._table}: rows of video '{video}' say {groups}, one says nothing; write its group_id"
            )
        return found[0] if found else None
