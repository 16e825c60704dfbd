"""Opening the files of a source: each becomes an item with its digest and facts, or a refusal."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from errno import ENAMETOOLONG
from hashlib import sha256

from deepfakestream.data.ingestion.layouts.labels import Label, read_label
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.data.packs import as_file, pack_index, read_member
from deepfakestream.data.quarantine import Refusal
from deepfakestream.errors import DataError, MediaError, Reason
from deepfakestream.host.digest import sha256_file
from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget, MediaInfo

NUM_DECODED_FRAMES = 16
"""Frames of a clip that must be decodable: as many as `scan` and, by default, `extract` search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file must keep to enter the dataset."""

    min_duration_s: float
    budget: MediaBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedItem:
    """A readable, labelled file."""

    item: SourceItem
    source: str
    media_id: str
    label: Label
    info: MediaInfo | None
    """None where the content is in the dataset already and was not opened again."""


def examine_all(
    items: Iterable[SourceItem], *, set_name: str, known: Collection[str], limits: Limits
) -> Iterator[ExaminedItem | Refusal]:
    """Examine items on all cores and yield the outcomes in the order of the items.

    Args:
        items: what a layout found.
        set_name: name of the source for items that do not name one.
        known: media ids that are in the dataset already; such files are digested but not opened.
        limits: what a file must keep.
    """

    def examine_one(item: SourceItem) -> ExaminedItem | Refusal:
        return examine(item, set_name=set_name, known=known, limits=limits)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as executor:
        yield from executor.map(examine_one, items)


def examine(
    item: SourceItem, *, set_name: str, known: Collection[str], limits: Limits
) -> ExaminedItem | Refusal:
    """Return the item with its digest and facts, or why it cannot be taken.

    Args:
        item: as its source lists it.
        set_name: name of the dataset, where the item has none.
        known: digests that the dataset holds.
        limits: in force for media.
    """
    source = item.source or set_name
    media_id = None
    try:
        if item.path.is_dir():
            raise MediaError(
                Reason.UNREADABLE, f"{item.path}: is a folder; check its permissions, or name the files in it"
            )
        if item.excluded:
            raise MediaError(*item.excluded)
        _check_there(item)
        if item.member is None:
            media_id = sha256_file(item.path)
        else:
            media_id = sha256(read_member(item.path, item.member)).hexdigest()
        label = _label(item)
        info = None if media_id in known else _probe(item, limits)
    except (MediaError, OSError) as problem:
        error = problem
        if isinstance(error, OSError):
            remedy = "shorten the name" if error.errno == ENAMETOOLONG else "check permissions and disk"
            where = item.path if item.member is None else f"{item.path}: '{item.member}'"
            error = MediaError(Reason.UNREADABLE, f"{where}: cannot be read ({error.strerror}); {remedy}")
        return Refusal(
            source=source,
            original_name=item.name,
            reason=error.reason,
            message=str(error),
            path=str(item.path),
            media_id=media_id,
        )
    return ExaminedItem(item=item, source=source, media_id=media_id, label=label, info=info)


def _check_there(item: SourceItem) -> None:
    if not item.path.is_file():
        raise MediaError(Reason.NOT_FOUND, f"{item.path}: the source names it but it is not there; fetch it")
    if item.member is None:
        return
    try:
        index = pack_index(item.path)
    except DataError as error:
        raise MediaError(Reason.UNREADABLE, str(error)) from error
    if item.member not in index:
        raise MediaError(Reason.NOT_FOUND, f"{item.path}: holds no '{item.member}'; pack it or drop its row")


def _label(item: SourceItem) -> Label:
    label = read_label(item.label)
    if label is None:
        problem = f"label '{item.label}' is neither real nor fake" if item.label else "no label"
        raise MediaError(
            Reason.LABEL_MISSING, f"{item.name}: {problem}; label it in its source and ingest again"
        )
    return label


def _probe(item: SourceItem, limits: Limits) -> MediaInfo:
    """Return the facts of a file whose pictures were decoded as extraction and scans decode them."""
    with as_file(item.path, item.member) as path, open_media(path, limits.budget) as media:
        info = media.info
        if item.is_crop and info.kind != "image":
            raise MediaError(
                Reason.UNSUPPORTED_FORMAT,
                f"{item.name}: a face crop must be a still; drop kind 'crop'",
            )
        if info.kind == "video" and info.duration_s is not None and info.duration_s < limits.min_duration_s:
            raise MediaError(
                Reason.TOO_SHORT,
                f"{item.name}: lasts {info.duration_s:.2f} s, less than ingest.min_duration_s; "
                "give a longer clip or lower the limit in params.yaml",
            )
        for _ in media.frames(NUM_DECODED_FRAMES):
            pass
        if Reason.TRUNCATED in media.reasons:
            details = [note.text for note in media.notes if note.reason == Reason.TRUNCATED]
            what = "; ".join(details) or "a part of its pictures is missing or damaged"
            raise MediaError(Reason.TRUNCATED, f"{item.name}: {what}; get a whole copy of the file")
        return media.info
