"""Parts of a source that come later: they join the source groups that the dataset holds already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from unicodedata import normalize

import pandas as pd

from deepfakestream.data.ingestion.examination import ExaminedItem
from deepfakestream.data.ingestion.layouts.types import ClipNaming, Layout
from deepfakestream.data.quarantine import Refusal
from deepfakestream.errors import DataError

_Name = tuple[str, str]
"""Source, and a name within it."""


def group_of(examined: ExaminedItem) -> str:
    """Return the id of an item's source group; an item that its source puts in no group is one itself."""
    return f"{examined.source}:{examined.item.group or examined.item.name}"


def join_held_groups(
    outcomes: Iterable[ExaminedItem | Refusal], present: pd.DataFrame, layout: Layout
) -> list[ExaminedItem | Refusal]:
    """Return the outcomes; items whose group is in the dataset under another name get that name.

    A group is in the dataset where it has a group of this name, one of these items, or an item that these
    items link and that these outcomes lack.

    Args:
        outcomes: of the examination.
        present: manifest of the dataset so far, one row an item.
        layout: how the source names its clips.

    Raises:
        DataError: one group of the source is several in the dataset, perhaps in several splits.
    """
    listed = list(outcomes)
    items = [outcome for outcome in listed if isinstance(outcome, ExaminedItem)]
    held = _held(present[present["source"].isin({item.source for item in items})], layout)
    here = {(item.source, item.item.name) for item in items}
    joined: dict[str, set[str]] = {}
    for item in items:
        touched = joined.setdefault(group_of(item), set())
        away = [normalize("NFC", link) for link in item.item.links if (item.source, link) not in here]
        for key in (_group_key(group_of(item)), _item_key(item.media_id, item.item.name), *away):
            touched |= held.get((item.source, key), set())
        if len(touched) > 1:
            raise DataError(
                f"{item.item.name}: belongs to source group '{group_of(item)}', but the dataset holds "
                f"{' and '.join(repr(group) for group in sorted(touched))} apart, and splits were drawn by "
                "that; ingest the source, complete as it is now, into a new workspace"
            )
    return [_renamed(outcome, joined) for outcome in listed]


def _held(present: pd.DataFrame, layout: Layout) -> Mapping[_Name, set[str]]:
    """Return the held groups by the names of their items and clips, and by their own."""
    held: dict[_Name, set[str]] = {}
    columns = (present[name] for name in ("source", "original_name", "media_id", "group_id"))
    for source, name, media_id, group in zip(*columns, strict=True):
        clips = layout.clips(name) if isinstance(layout, ClipNaming) else ()
        for key in {*clips, _item_key(media_id, name), _group_key(group)}:
            held.setdefault((source, key), set()).add(group)
    return held


def _group_key(group_id: str) -> str:
    return f"\0group {group_id}"


def _item_key(media_id: str, name: str) -> str:
    return f"\0item {media_id} {name}"


def _renamed(outcome: ExaminedItem | Refusal, joined: Mapping[str, set[str]]) -> ExaminedItem | Refusal:
    if isinstance(outcome, Refusal):
        return outcome
    for group_id in joined[group_of(outcome)]:
        name = group_id.removeprefix(f"{outcome.source}:")
        return replace(outcome, item=replace(outcome.item, group=name))
    return outcome
