"""What was forgotten: `data/forgotten.csv`, one line a digest, so that the same bytes do not come back.

The file is a part of the set: whoever pulls the set refuses the same bytes too. It holds no name.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deepfakestream.data.examination import ExaminedItem
from deepfakestream.data.packs import member_digests
from deepfakestream.data.quarantine import Refusal
from deepfakestream.errors import DataError, Reason
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
    """Yield the outcomes of an examination, with a refusal in place of each item that was forgotten.

    A new item in a tar that holds forgotten bytes is refused too: the set takes a tar as a whole.

    Raises:
        DataError: a tar changed since it was examined.
    """
    looked_into: dict[Path, Tombstone | None] = {}
    for outcome in outcomes:
        tombstone = tombstones.get(outcome.media_id or "")
        if tombstone is not None:
            yield _refusal(outcome, _told(tombstone) + "leave the file out of the source")
        elif tombstones and isinstance(outcome, ExaminedItem) and _brings_a_tar(outcome):
            path = outcome.item.path
            if path not in looked_into:
                looked_into[path] = _forgotten_in(path, tombstones)
            yield _with_its_tar(outcome, looked_into[path])
        else:
            yield outcome


def _brings_a_tar(examined: ExaminedItem) -> bool:
    is_new = examined.info is not None
    return is_new and examined.item.member is not None


def _forgotten_in(pack: Path, tombstones: Mapping[str, Tombstone]) -> Tombstone | None:
    try:
        with pack.open("rb") as content:
            return next((tombstones[d] for d in member_digests(content) if d in tombstones), None)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{pack}: changed while it was being ingested ({error}); ingest again once it is done"
        ) from error


def _with_its_tar(examined: ExaminedItem, tombstone: Tombstone | None) -> ExaminedItem | Refusal:
    if tombstone is None:
        return examined
    return _refusal(
        examined,
        f"its tar {examined.item.path} holds a file of sha256 {tombstone.media_id[:12]}…; "
        f"{_told(tombstone)}pack the tar again without that file and ingest again",
    )


def _told(tombstone: Tombstone) -> str:
    return f"these bytes were forgotten on {tombstone.forgotten_at[:10]} ({tombstone.reason}); "


def _refusal(outcome: ExaminedItem | Refusal, message: str) -> Refusal:
    if isinstance(outcome, Refusal):
        name, path = outcome.original_name, outcome.path
    else:
        name, path = outcome.item.name, str(outcome.item.path)
    return Refusal(
        source=outcome.source,
        original_name=name,
        reason=Reason.FORGOTTEN,
        message=f"{name}: {message}",
        path=path,
        media_id=outcome.media_id,
    )


def _columns() -> list[str]:
    return [field.name for field in fields(Tombstone)]
