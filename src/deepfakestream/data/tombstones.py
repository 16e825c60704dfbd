"""What was forgotten: `data/forgotten.csv`, one line a digest, so that the same bytes do not come back.

The file is a part of the set: whoever pulls the set refuses the same bytes too. It holds no name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deepfakestream.data.atomic import replacing
from deepfakestream.data.examination import ExaminedItem
from deepfakestream.data.quarantine import Refusal
from deepfakestream.errors import DataError, Reason

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
    """Write tombstones, beside those that are there; a digest keeps its first one."""
    known = read_tombstones(data_dir)
    together = {tombstone.media_id: tombstone for tombstone in tombstones} | known
    if together.keys() == known.keys():
        return
    with replacing(data_dir / TOMBSTONE_FILE) as partial, partial.open("w", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, _columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(together[media_id]) for media_id in sorted(together))


def refuse_forgotten(
    outcomes: Iterable[ExaminedItem | Refusal], tombstones: Mapping[str, Tombstone]
) -> Iterator[ExaminedItem | Refusal]:
    """Yield the outcomes of an examination, with a refusal in place of each item that was forgotten."""
    for outcome in outcomes:
        tombstone = tombstones.get(outcome.media_id or "")
        yield outcome if tombstone is None else _refusal(outcome, tombstone)


def _refusal(outcome: ExaminedItem | Refusal, tombstone: Tombstone) -> Refusal:
    if isinstance(outcome, Refusal):
        name, path = outcome.original_name, outcome.path
    else:
        name, path = outcome.item.name, str(outcome.item.path)
    return Refusal(
        source=outcome.source,
        original_name=name,
        reason=Reason.FORGOTTEN,
        message=(
            f"{name}: these bytes were forgotten on {tombstone.forgotten_at[:10]} ({tombstone.reason}); "
            "leave the file out of the source"
        ),
        path=path,
        media_id=outcome.media_id,
    )


def _columns() -> list[str]:
    return [field.name for field in fields(Tombstone)]
