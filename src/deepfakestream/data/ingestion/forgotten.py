"""Refusal of forgotten items: the same bytes do not come back."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from deepfakestream.data.ingestion.examination import ExaminedItem
from deepfakestream.data.packs import member_digests
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.tombstones import Tombstone
from deepfakestream.errors import DataError, Reason


def refuse_forgotten(
    outcomes: Iterable[ExaminedItem | Refusal], tombstones: Mapping[str, Tombstone]
) -> Iterator[ExaminedItem | Refusal]:
    """Yield the outcomes of an examination, with a refusal in place of each item that was forgotten.

    A new item in a tar that holds forgotten bytes is refused too: the dataset takes a tar as a whole.

    Args:
        outcomes: of an examination.
        tombstones: by digest.

    Raises:
        DataError: a tar changed since it was examined.
    """
    looked_into: dict[Path, Tombstone | None] = {}
    for outcome in outcomes:
        tombstone = tombstones.get(outcome.media_id or "")
        if tombstone is not None:
            yield _refusal(outcome, _explanation(tombstone) + "leave the file out of the source")
        elif (
            tombstones
            and isinstance(outcome, ExaminedItem)
            and outcome.info is not None  # new
            and outcome.item.member is not None
        ):
            path = outcome.item.path
            if path not in looked_into:
                looked_into[path] = _forgotten_in(path, tombstones)
            yield _with_its_tar(outcome, looked_into[path])
        else:
            yield outcome


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
        f"{_explanation(tombstone)}pack the tar again without that file and ingest again",
    )


def _explanation(tombstone: Tombstone) -> str:
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
