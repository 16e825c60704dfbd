"""What was forgotten: `data/forgotten.csv`, one line a digest, so that the same bytes do not come back.

The file is a part of the dataset: a pulled dataset refuses the same bytes too. It holds no name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import replacing

TOMBSTONE_FILE = "forgotten.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """One forgotten item."""

    media_id: str
    """Sha256 of its bytes."""
    forgotten_at: str
    """UTC, ISO 8601."""
    reason: str


def read_tombstones(data_dir: Path) -> dict[str, Tombstone]:
    """Return what was forgotten, by media id.

    Raises:
        DataError: the file is damaged.
    """
    path = data_dir / TOMBSTONE_FILE
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != _columns():
            raise DataError(
                f"{path}: its columns are not {', '.join(_columns())}; run 'dvc checkout data.dvc'"
            )
        return {row["media_id"]: Tombstone(**row) for row in reader}


def add_tombstones(data_dir: Path, tombstones: Iterable[Tombstone]) -> None:
    """Add tombstones to those that are there; a digest keeps its first one.

    Args:
        data_dir: folder of the dataset.
        tombstones: of forgotten items.
    """
    known = read_tombstones(data_dir)
    together = {tombstone.media_id: tombstone for tombstone in tombstones} | known
    if together.keys() == known.keys():
        return
    with replacing(data_dir / TOMBSTONE_FILE) as partial, partial.open("w", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, _columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(together[media_id]) for media_id in sorted(together))


def _columns() -> list[str]:
    return [field.name for field in fields(Tombstone)]
