"""Finding an item in a store of old versions: its bytes, its faces, and every table that names it.

An object is a trace if it is the item's file, a tar with its bytes, a shard with one of its faces, or a file
that mentions its digest; and every folder listing that names a trace is one. A version that held the item can
therefore not be checked out any more: it could only come back with the item.

Some objects can only be found through others: a file through the `.dir` listing that names it. They come in
an order in which they can be deleted: what is left after any number of them is found again.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Collection, Mapping, MutableMapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfakestream.data.crop_store import SHARD_DIR, TABLE_FILE
from deepfakestream.data.manifest import MANIFEST_FILE, MEDIA_DIR, PACKS_DIR
from deepfakestream.data.packs import member_digests
from deepfakestream.data.tombstones import TOMBSTONE_FILE
from deepfakestream.data.versioning.object_stores import ObjectStore

_DIGEST = re.compile(rb"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 22
_PARQUET_MAGIC = b"PAR1"

Listing = Mapping[str, str]
"""A folder's files: path to name of the object."""


def find_traces(
    store: ObjectStore, media_ids: Collection[str], judged_packs: MutableMapping[str, bool] | None = None
) -> list[str]:
    """Return the names of the objects that hold or name one of these items: contents, tables, then listings.

    Media that a listing names are recognised by it and are not read; everything else is, but the file of
    tombstones. A listing whose table is gone counts as a trace: a deletion that was ended leaves such.

    Args:
        store: where to look.
        media_ids: the items.
        judged_packs: whether a pack holds one of the items, by its name; grows, so that a pack which several
            stores have is read in the first of them only.
    """
    judged = {} if judged_packs is None else judged_packs
    wanted = frozenset(media_ids)
    present = store.names()
    listings: dict[str, Listing] = {}
    for name in sorted(present):
        if name.endswith(".dir"):
            with store.open(name) as content:
                entries: list[dict[str, Any]] = json.load(content)
            listings[name] = {entry["relpath"]: entry["md5"] for entry in entries}
    traces: set[str] = set()
    known: set[str] = set()
    for listing in listings.values():
        found, looked_at = _traces_by_listing(store, listing, present, wanted)
        traces |= found
        known |= looked_at
    listed = [item for listing in listings.values() for item in listing.items()]
    packs = {name for path, name in listed if _top(path) == PACKS_DIR}
    for name in sorted(packs & present - traces):
        if _pack_holds_one(store, name, wanted, judged):
            traces.add(name)
    for name in sorted(present - listings.keys() - known - traces):
        with store.open(name) as content:
            # An earlier deletion may have left a file or a pack that no listing names any more.
            if _tar_holds_one(content, wanted) or mentions(content, wanted):
                traces.add(name)
    for name, listing in listings.items():
        if not traces.isdisjoint(listing.values()) or any(_digests(path) & wanted for path in listing):
            traces.add(name)
    traces |= _without_table(store, listings, present)
    tables = {name for listing in listings.values() for name in _tables(listing)}
    return sorted(traces & present, key=lambda name: (name in listings, name in tables, name))


def _pack_holds_one(
    store: ObjectStore, name: str, wanted: frozenset[str], judged: MutableMapping[str, bool]
) -> bool:
    if name not in judged:
        with store.open(name) as content:
            held = _tar_holds_one(content, wanted)
        if held is None:  # damaged here; another store may have it whole
            return False
        judged[name] = held
    return judged[name]


def _tar_holds_one(content: IO[bytes], wanted: frozenset[str]) -> bool | None:
    """Say whether a tar has a file of one of these digests; None where it is no whole tar."""
    try:
        return not wanted.isdisjoint(member_digests(content))
    except tarfile.TarError:
        return None


def _without_table(store: ObjectStore, listings: Mapping[str, Listing], present: set[str]) -> set[str]:
    """Return the listings that name a table which the store does not have."""
    incomplete = {name for name, listing in listings.items() if not _tables(listing) <= present}
    if not incomplete:
        return set()
    # Somebody else may have pushed a version while the names were read; its table is there by now.
    present = store.names()
    return {name for name in incomplete if not _tables(listings[name]) <= present}


def _tables(listing: Listing) -> set[str]:
    return {listing[path] for path in (MANIFEST_FILE, TABLE_FILE) if path in listing}


def mentions(content: IO[bytes], media_ids: Collection[str]) -> bool:
    """Say whether a file has one of these digests or names one, in plain bytes or in a column of a table.

    Args:
        content: of the file.
        media_ids: digests to look for.
    """
    content.seek(0)
    whole = sha256()
    wanted = {media_id.encode() for media_id in media_ids}
    is_table = content.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    content.seek(0)
    overlap = b""
    while chunk := content.read(_CHUNK_BYTES):
        whole.update(chunk)
        # 63 hexadecimal digits of a digest may lie in the chunk before. A run of more than 64 digits (two
        # digests side by side) is looked at from every position.
        for match in re.finditer(rb"[0-9a-f]{64,}", overlap + chunk):
            run = match.group()
            if not wanted.isdisjoint(run[start : start + 64] for start in range(len(run) - 63)):
                return True
        overlap = (overlap + chunk)[-63:]
    return whole.hexdigest() in media_ids or (is_table and _table_mentions(content, media_ids))


def _table_mentions(content: IO[bytes], media_ids: Collection[str]) -> bool:
    try:
        fields = pq.read_schema(content)
        texts = [field.name for field in fields if field.type in (pa.string(), pa.large_string())]
        table = pq.read_table(content, columns=texts)
    except pa.ArrowInvalid:  # it only begins like a table
        return False
    # Ids of crops begin with the digest of their item.
    pattern = "|".join(sorted(media_ids))
    return any(
        bool(pc.any(pc.match_substring_regex(table.column(name), pattern), min_count=0).as_py())
        for name in texts
    )


def _traces_by_listing(
    store: ObjectStore, listing: Listing, present: Collection[str], wanted: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Return the traces that a listing leads to, and the objects that need not be read to know."""
    media = {path: name for path, name in listing.items() if _top(path) in (MEDIA_DIR, PACKS_DIR)}
    traces = {name for path, name in media.items() if _digests(path) & wanted}
    known = {*media.values(), listing.get(TOMBSTONE_FILE, "")}
    manifest = listing.get(MANIFEST_FILE)
    if manifest in present:
        paths = _values(store, manifest, "path", wanted)
        traces |= {listing[path] for path in paths if path in listing}
    crops = listing.get(TABLE_FILE)
    if crops in present:
        shards = {path: name for path, name in listing.items() if _top(path) == SHARD_DIR}
        touched = {f"{SHARD_DIR}/{shard}" for shard in _values(store, crops, "shard", wanted)}
        traces |= {name for path, name in shards.items() if path in touched}
        known |= set(shards.values())
    return traces, known


def _values(store: ObjectStore, name: str | None, column: str, wanted: Collection[str]) -> set[str]:
    """Return the values of a column of a Parquet object, of the rows of some items."""
    assert name is not None, "the object is present"
    with store.open(name) as content:
        table = pq.read_table(content, columns=["media_id", column])
    chosen = table.filter(pc.is_in(table.column("media_id"), pa.array(sorted(wanted), pa.string())))
    return set(chosen.column(column).to_pylist())


def _top(path: str) -> str:
    return PurePosixPath(path).parts[0]


def _digests(path: str) -> set[str]:
    return {found.decode() for found in _DIGEST.findall(path.encode())}
