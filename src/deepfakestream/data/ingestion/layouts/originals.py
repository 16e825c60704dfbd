"""Source groups of a table whose fakes name the files they were made of, in the column `original`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from deepfakestream.errors import DataError

Row = dict[str, str]


class Grouped(NamedTuple):
    """What a table says of the group of one row."""

    group: str | None
    links: tuple[str, ...]
    """The files that it was made of, as the table names them."""


def names_of(file: str) -> tuple[str, ...]:
    """Return what a cell may call a file: its path and its name, each with and without suffix."""
    path = PurePosixPath(normalize("NFC", file))
    return path.as_posix(), path.with_suffix("").as_posix() if path.name else "", path.name, path.stem


def group_rows(table: Path, rows: Sequence[Row]) -> list[Grouped]:
    """Return the group of each row: its `group_id`, else that of its original, else its name without suffix.

    An original without a `group_id` takes that of the fakes that name it.

    Args:
        table: the file, for messages.
        rows: all of its rows.

    Raises:
        DataError: a cell names rows of several groups, or fakes of several groups name one original.
    """
    if not any("original" in row for row in rows):
        return [Grouped(row.get("group_id") or None, ()) for row in rows]
    originals = _Originals(table, rows)
    return [originals.grouped(number) for number in range(len(rows))]


class _Originals:
    def __init__(self, table: Path, rows: Sequence[Row]) -> None:
        self._table = table
        self._rows = rows
        self._named: tuple[dict[str, list[int]], ...] = ({}, {}, {}, {})
        for number, row in enumerate(rows):
            for level, name in zip(self._named, names_of(row["file"]), strict=True):
                level.setdefault(name, []).append(number)
        self._found = [self._find(row.get("original", "")) for row in rows]
        self._groups: dict[int, str] = {}
        self._given: dict[int, set[str]] = {}
        for row, found in zip(rows, self._found, strict=True):
            if row.get("group_id") and len(found) == 1:
                self._given.setdefault(found[0], set()).add(row["group_id"])

    def grouped(self, number: int) -> Grouped:
        cell = self._rows[number].get("original", "")
        links = tuple(self._rows[each]["file"] for each in self._found[number]) or ((cell,) if cell else ())
        return Grouped(self._group(number), links)

    def _find(self, cell: str) -> list[int]:
        """Return the rows that a cell names, by the most exact reading that names any."""
        if not cell:
            return []
        paths, bare_paths, files, stems = self._named
        path, bare_path, name, stem = names_of(cell)
        readings = (
            *((paths, path), (bare_paths, path), (bare_paths, bare_path)),
            *((files, name), (stems, name), (stems, stem)),
        )
        return next((level[key] for level, key in readings if key in level), [])

    def _group(self, number: int) -> str:
        if number not in self._groups:
            # Stands while its originals are looked at: rows that name each other in a circle end here.
            self._groups[number] = names_of(self._rows[number]["file"])[-1]
            self._groups[number] = self._decide(number)
        return self._groups[number]

    def _decide(self, number: int) -> str:
        row, others = self._rows[number], [each for each in self._found[number] if each != number]
        if row.get("group_id"):
            return row["group_id"]
        if others:
            groups = {self._group(other) for other in others}
            if len(groups) > 1:
                files = [self._rows[other]["file"] for other in others]
                raise DataError(
                    f"{self._table}: original '{row['original']}' of '{row['file']}' may be {_list(files)}, "
                    "which are in different groups; write the whole path, or a group_id"
                )
            return groups.pop()
        given = self._given.get(number, set())
        if len(given) > 1:
            raise DataError(
                f"{self._table}: fakes with the group_id {_list(sorted(given))} name the original "
                f"'{row['file']}'; give all of them one group_id"
            )
        return next(iter(given), names_of(row.get("original") or row["file"])[-1])


def _list(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in list(names)[:3])
