"""Taking labelled media into `data/`: by content, once, and never half.

Files lie under their digest (`media/ab/ab12….mp4`, `packs/12….tar`), the manifest is written last. A killed
ingestion leaves the old manifest valid; the files that it copied are found again by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream import __version__
from deepfakestream.data.atomic import copy_verified
from deepfakestream.data.examination import ExaminedItem, suffix_of
from deepfakestream.data.manifest import to_frame
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.splits import SPLITS
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.digest import sha256_file

MEDIA_DIR = "media"
PACKS_DIR = "packs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of the examined items are new, which are there already, which are refused."""

    new: list[ExaminedItem] = field(default_factory=list)
    num_known: int = 0
    """Files whose content the set holds under the same name and source."""
    refused: list[Refusal] = field(default_factory=list)


def select(outcomes: Iterable[ExaminedItem | Refusal], present: pd.DataFrame) -> Selection:
    """Sort outcomes into new, known and refused; the same content is one item, with one label.

    A file whose content the set holds under another name is refused as a duplicate. Content that comes with
    both labels is refused and both sources are named; an item that is in the set already stays.
    """
    examined: list[ExaminedItem] = []
    refused: list[Refusal] = []
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            refused.append(outcome)
        else:
            examined.append(outcome)
    by_content: dict[str, list[ExaminedItem]] = {}
    for item in examined:
        by_content.setdefault(item.media_id, []).append(item)
    holders = {row.media_id: row for row in present.itertuples() if row.media_id in by_content}
    new: list[ExaminedItem] = []
    num_known = 0
    for media_id, same in by_content.items():
        held = holders.get(media_id)
        if held is not None:
            known = [item for item in same if (item.source, item.item.name) == (held.source, held.original_name)]
            known = [item for item in known if item.label == held.label]
            num_known += len(known)
            rest = [item for item in same if item not in known]
            refused += [_refuse_copy(item, held.label, f"{held.source}/{held.original_name}") for item in rest]
        elif len({item.label for item in same}) > 1:
            refused += [_refuse_conflict(item, same) for item in same]
        else:
            first, *copies = same
            new.append(first)
            refused += [_refuse_copy(item, first.label, _full_name(first)) for item in copies]
    return Selection(new=new, num_known=num_known, refused=refused)


def _refuse_copy(item: ExaminedItem, label: str, holder: str) -> Refusal:
    if item.label != label:
        return _refuse(
            item,
            Reason.LABEL_CONFLICT,
            f"{_full_name(item)} says {item.label}, but {holder} has the same bytes and says {label}; "
            "correct the wrong label and ingest again",
        )
    return _refuse(
        item, Reason.DUPLICATE, f"{_full_name(item)} has the same bytes as {holder}; nothing has to be done"
    )


def _refuse_conflict(item: ExaminedItem, same: list[ExaminedItem]) -> Refusal:
    other = next(candidate for candidate in same if candidate.label != item.label)
    return _refuse_copy(item, other.label, _full_name(other))


def _refuse(item: ExaminedItem, reason: Reason, message: str) -> Refusal:
    return Refusal(
        source=item.source,
        original_name=item.item.name,
        reason=reason,
        message=message,
        path=str(item.item.path),
        media_id=item.media_id,
    )


def _full_name(item: ExaminedItem) -> str:
    return f"{item.source}/{item.item.name}"


def manifest_rows(
    new: Iterable[ExaminedItem], *, licence: str, assign: Callable[[str], str], present: pd.DataFrame
) -> pd.DataFrame:
    """Return the manifest rows of new items.

    Args:
        new: items that are not in the set.
        licence: note for items whose source states none.
        assign: split of a group id, for items whose source declares none.
        present: the set so far; a group that is in it keeps its split.

    Raises:
        DataError: a source declares a split that does not exist.
    """
    split_of = dict(zip(present["group_id"], present["split"], strict=True))
    now = ingestion_time()
    return to_frame(_row(item, licence=licence, assign=assign, split_of=split_of, now=now) for item in new)


def _row(
    examined: ExaminedItem, *, licence: str, assign: Callable[[str], str], split_of: Mapping[str, str], now: str
) -> dict[str, Any]:
    item, info = examined.item, examined.info
    assert info is not None, "a new item was probed"
    group_id = f"{examined.source}:{item.group or item.name}"
    return {
        "media_id": examined.media_id,
        "path": stored_path(examined),
        "member": item.member,
        "kind": "crop" if item.is_crop else info.kind,
        "label": examined.label,
        "manipulation": "none" if examined.label == "real" else item.manipulation or examined.source,
        "group_id": group_id,
        "identity": item.identity,
        "split": _declared_split(item.split, item.name) or split_of.get(group_id) or assign(group_id),
        "source": examined.source,
        "licence": item.licence or licence,
        "original_name": item.name,
        "size_bytes": info.size_bytes,
        "width_px": info.width_px,
        "height_px": info.height_px,
        "codec": info.codec,
        "duration_s": info.duration_s if info.kind == "video" else None,
        "fps": info.fps if info.kind == "video" else None,
        "jpeg_quality": info.jpeg_quality,
        "ingested_at": now,
        "tool_version": __version__,
    }


def _declared_split(word: str | None, name: str) -> str | None:
    if word is None:
        return None
    split = {"valid": "val", "validation": "val"}.get(word.lower(), word.lower())
    if split not in SPLITS:
        raise DataError(f"{name}: split '{word}' is unknown; use train, val or test, or leave the cell empty")
    return split


def stored_path(examined: ExaminedItem) -> str:
    """Return where an item's bytes lie, relative to `data/`."""
    if examined.item.member is not None:
        return f"{PACKS_DIR}/{_pack_digest(examined.item.path)}.tar"
    return f"{MEDIA_DIR}/{examined.media_id[:2]}/{examined.media_id}{suffix_of(examined.item)}"


@lru_cache(maxsize=4096)
def _pack_digest(path: Path) -> str:
    return sha256_file(path)


def copy_into(data_dir: Path, new: Iterable[ExaminedItem]) -> Iterator[str]:
    """Copy the bytes of new items under their digests; yield each stored path once it is there."""
    for examined in new:
        path = stored_path(examined)
        digest = Path(path).stem
        copy_verified(examined.item.path, data_dir / path, sha256=digest)
        yield path


def ingestion_time() -> str:
    """Return the time of ingestion, ISO 8601, UTC: now, or `SOURCE_DATE_EPOCH` for a reproducible manifest."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
