"""Taking labelled media into `data/`: by content, once, and never half.

Files lie under their digest (`media/ab/ab12….mp4`, `packs/12….tar`), the manifest is written last. A killed
ingestion leaves the old manifest valid; the files that it copied are found again by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from deepfakestream import __version__
from deepfakestream.data.ingestion.examination import ExaminedItem
from deepfakestream.data.ingestion.held_groups import group_of
from deepfakestream.data.manifest import MEDIA_DIR, PACKS_DIR, to_frame, to_rows
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.splits import GroupSplits, SplitDraw
from deepfakestream.errors import Reason
from deepfakestream.host.digest import sha256_file
from deepfakestream.host.whole_files import copy_verified

_MAX_SUFFIX_CHARACTERS = 16
"""What follows the last dot of a longer one is a part of the name."""


@dataclass(slots=True, kw_only=True)
class Selection:
    """Which of the examined items are new, which are there already, which are refused."""

    new: list[ExaminedItem] = field(default_factory=list)
    num_known: int = 0
    """Files whose content the dataset holds under the same name and source."""
    relabelled: list[ExaminedItem] = field(default_factory=list)
    """Files that the dataset holds under the same name and source, whose label was corrected since."""
    refused: list[Refusal] = field(default_factory=list)


def select(outcomes: Iterable[ExaminedItem | Refusal], present: pd.DataFrame) -> Selection:
    """Sort outcomes into new, known, relabelled and refused; the same content is one item, with one label.

    A file whose content the dataset holds under another name is refused as a duplicate. Content that comes
    with both labels is refused and both sources are named; an item of the dataset stays. An item is
    relabelled where its own source, and nothing else, now gives it the other label.

    Args:
        outcomes: of the examination.
        present: manifest of the dataset so far, one row an item.
    """
    selection = Selection()
    by_content: dict[str, list[ExaminedItem]] = {}
    for outcome in outcomes:
        if isinstance(outcome, Refusal):
            selection.refused.append(outcome)
        else:
            by_content.setdefault(outcome.media_id, []).append(outcome)
    held = to_rows(present[present["media_id"].isin(set(by_content))])
    holders = {row["media_id"]: _Holder(row["source"], row["original_name"], row["label"]) for row in held}
    for media_id, same in by_content.items():
        if media_id in holders:
            _select_held(same, holders[media_id], selection)
        elif len({item.label for item in same}) > 1:
            selection.refused.extend(_refuse_copy(item, _other_label(item, same)) for item in same)
        else:
            selection.new.append(same[0])
            selection.refused.extend(_refuse_copy(item, _holder(same[0])) for item in same[1:])
    return selection


class _Holder(NamedTuple):
    """Under which name and label some content is known."""

    source: str
    name: str
    label: str


def _holder(item: ExaminedItem) -> _Holder:
    return _Holder(item.source, item.item.name, item.label)


def _select_held(same: list[ExaminedItem], holder: _Holder, selection: Selection) -> None:
    itself = [item for item in same if _holder(item)[:2] == holder[:2]]
    agree = len({item.label for item in same}) == 1
    if itself and agree and itself[0].label != holder.label:
        selection.relabelled.append(itself[0])
        holder = _holder(itself[0])
    for item in same:
        if _holder(item) == holder:
            selection.num_known += 1
        else:
            is_copy = agree or item.label == holder.label
            selection.refused.append(_refuse_copy(item, holder if is_copy else _other_label(item, same)))


def _other_label(item: ExaminedItem, same: list[ExaminedItem]) -> _Holder:
    return next(_holder(other) for other in same if other.label != item.label)


def _refuse_copy(item: ExaminedItem, holder: _Holder) -> Refusal:
    here, there = f"{item.source}/{item.item.name}", f"{holder.source}/{holder.name}"
    if item.label == holder.label:
        reason, message = Reason.DUPLICATE, f"{here} has the same bytes as {there}; one of them is enough"
    else:
        reason = Reason.LABEL_CONFLICT
        message = (
            f"{here} says {item.label}, but {there} has the same bytes and says {holder.label}; "
            "correct the wrong label in its source and ingest that source again"
        )
    return Refusal(
        source=item.source,
        original_name=item.item.name,
        reason=reason,
        message=message,
        path=str(item.item.path),
        media_id=item.media_id,
    )


def manifest_rows(
    new: Iterable[ExaminedItem], *, licence: str, draw: SplitDraw, present: pd.DataFrame
) -> pd.DataFrame:
    """Return the manifest rows of new items.

    Args:
        new: items that are not in the dataset.
        licence: note for items whose source states none.
        draw: decides the split of items whose source declares none.
        present: the dataset so far; a group that is in it keeps its split.

    Raises:
        DataError: a source declares a split that does not exist, or two for one group.
    """
    items = list(new)
    splits = GroupSplits(dict(zip(present["group_id"], present["split"], strict=True)), draw)
    for item in items:
        splits.declare(group_of(item), item.item.split, name=item.item.name)
    now = ingestion_time()
    return to_frame(_row(item, licence=licence, splits=splits, now=now) for item in items)


def relabel(present: pd.DataFrame, relabelled: Iterable[ExaminedItem]) -> pd.DataFrame:
    """Return the dataset with the labels and methods that sources say of these items now.

    Args:
        present: manifest as it is, one row an item.
        relabelled: items that their sources label otherwise now.
    """
    items = list(relabelled)
    labels = {item.media_id: item.label for item in items}
    methods = {item.media_id: _manipulation(item) for item in items}
    media_ids = present["media_id"]
    return present.assign(
        label=media_ids.map(labels).fillna(present["label"]),
        manipulation=media_ids.map(methods).fillna(present["manipulation"]),
    )


def _manipulation(examined: ExaminedItem) -> str:
    return "none" if examined.label == "real" else examined.item.manipulation or examined.source


def _row(
    examined: ExaminedItem,
    *,
    licence: str,
    splits: GroupSplits,
    now: str,
) -> dict[str, Any]:
    item, info = examined.item, examined.info
    assert info is not None, "a new item was probed"
    group_id = group_of(examined)
    return {
        "media_id": examined.media_id,
        "path": stored_path(examined),
        "member": item.member,
        "kind": "crop" if item.is_crop else info.kind,
        "label": examined.label,
        "manipulation": _manipulation(examined),
        "group_id": group_id,
        "identity": item.identity,
        "split": splits.of(group_id),
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


def stored_path(examined: ExaminedItem) -> str:
    """Return where an item's bytes lie, relative to `data/`."""
    if examined.item.member is not None:
        return f"{PACKS_DIR}/{_pack_digest(examined.item.path)}.tar"
    suffix = examined.item.path.suffix.lower()
    kept = suffix if suffix.isascii() and len(suffix) <= _MAX_SUFFIX_CHARACTERS else ""
    return f"{MEDIA_DIR}/{examined.media_id[:2]}/{examined.media_id}{kept}"


@lru_cache(maxsize=4096)
def _pack_digest(path: Path) -> str:
    return sha256_file(path)


def copy_into(data_dir: Path, new: Iterable[ExaminedItem]) -> Iterator[str]:
    """Copy the bytes of new items under their digests; yield each stored path once it is there.

    Args:
        data_dir: folder of the dataset.
        new: items that are taken in.
    """
    for examined in new:
        path = stored_path(examined)
        digest = Path(path).stem
        copy_verified(examined.item.path, data_dir / path, sha256=digest)
        yield path


def ingestion_time() -> str:
    """Return the time of ingestion, ISO 8601, UTC: now, or `SOURCE_DATE_EPOCH` where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
