from __future__ import annotations

import json
import tarfile
from collections.abc import Collection
from hashlib import sha256
from io import BytesIO
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfakestream.data.versioning.object_traces import find_traces, mentions

ITEM, OTHER = "a" * 63 + "0", "b" * 63 + "1"
BYTES = b"bytes of a picture" * 20
ITS_DIGEST = sha256(BYTES).hexdigest()


class MemoryStore:
    """Objects in a dictionary; notes which were read."""

    name = "memory"

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.read: list[str] = []

    def names(self) -> set[str]:
        return set(self.objects)

    def open(self, name: str) -> IO[bytes]:
        self.read.append(name)
        return BytesIO(self.objects[name])

    def delete(self, names: Collection[str]) -> None:
        for name in names:
            del self.objects[name]


def table(**columns: list[Any]) -> bytes:
    stream = BytesIO()
    pq.write_table(pa.table(columns), stream, compression="zstd")
    return stream.getvalue()


def traces_in(store: MemoryStore, media_ids: set[str]) -> set[str]:
    return set(find_traces(store, media_ids))


def listing(files: dict[str, str]) -> bytes:
    return json.dumps([{"relpath": path, "md5": name} for path, name in files.items()]).encode()


def tar_of(*contents: bytes) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w:") as tar:
        for content in contents:
            entry = tarfile.TarInfo("same name")
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", False),
        (ITEM.encode(), True),
        (f'{{"id": "{ITEM}:3:0"}}'.encode(), True),
        (ITEM.encode()[:-1], False),
        (ITEM.encode()[:-1] + b"f", False),
        (OTHER.encode() + ITEM.encode(), True),
        (b"x" * ((1 << 22) - 30) + ITEM.encode(), True),
        (b"x" * (1 << 22) + ITEM.encode(), True),
        (table(crop_id=[f"{OTHER}:0:0", f"{ITEM}:0:0"], n=[1, 2]), True),
        (table(crop_id=[f"{OTHER}:0:0", None], n=[1, 2]), False),
        (table(n=[1, 2]), False),
        (b"PAR1 but no table", False),
        (b"PAR1 but no table " + ITEM.encode(), True),
    ],
)
def test_a_mention_is_found_wherever_it_is(content: bytes, expected: bool) -> None:
    assert mentions(BytesIO(content), {ITEM}) is expected


def version(media_id: str, mark: str) -> dict[str, bytes]:
    """The objects of a version of `data/` with a loose item and one in a tar."""
    rows = table(media_id=[media_id, OTHER], path=[f"media/{media_id}.jpg", "packs/1.tar"])
    files = {f"media/{media_id}.jpg": f"{mark}-file", "packs/1.tar": f"{mark}-pack"}
    files |= {"manifest.parquet": f"{mark}-manifest", "forgotten.csv": f"{mark}-tombstones"}
    return {
        f"{mark}.dir": listing(files),
        f"{mark}-file": b"pixels",
        f"{mark}-pack": tar_of(b"nobody"),
        f"{mark}-manifest": rows,
        f"{mark}-tombstones": f"media_id\n{ITEM}".encode(),
    }


def test_every_version_with_the_item_goes_and_the_others_stay() -> None:
    store = MemoryStore(version(ITEM, "old") | version("c" * 64, "new"))
    assert traces_in(store, {ITEM}) == {"old.dir", "old-file", "old-manifest"}
    assert not {"old-file", "new-file"} & set(store.read)


def test_a_tar_that_holds_the_item_goes() -> None:
    store = MemoryStore(version(ITEM, "v"))
    assert traces_in(store, {OTHER}) == {"v.dir", "v-pack", "v-manifest"}
    assert "v-pack" not in store.read


@pytest.mark.parametrize("contents", [(b"x", BYTES), (BYTES, b"x")])
def test_a_tar_with_bytes_that_no_manifest_names_goes(contents: tuple[bytes, ...]) -> None:
    objects = version(ITEM, "v") | {"v-pack": tar_of(*contents)}
    assert traces_in(MemoryStore(objects), {ITS_DIGEST}) == {"v.dir", "v-pack"}


def test_a_tar_is_read_in_the_first_store_that_has_it_whole() -> None:
    objects = version(ITEM, "v") | {"v-pack": tar_of(BYTES)}
    damaged, cache, remote = (MemoryStore(dict(objects)) for _ in range(3))
    damaged.objects["v-pack"] = b"no tar"
    judged: dict[str, bool] = {}
    assert find_traces(damaged, {ITS_DIGEST}, judged) == []
    assert find_traces(cache, {ITS_DIGEST}, judged) == find_traces(remote, {ITS_DIGEST}, judged)
    assert "v-pack" in cache.read
    assert "v-pack" not in remote.read


def test_bytes_that_no_listing_names_any_more_are_found() -> None:
    objects = {"file": BYTES, "pack": tar_of(b"x", BYTES), "b": b"x", "c": tar_of(b"x"), "d": bytes(2048)}
    assert traces_in(MemoryStore(objects), {ITS_DIGEST}) == {"file", "pack"}


def test_a_tar_that_mentions_the_item_is_found_in_every_store() -> None:
    objects, judged = {"model": tar_of(ITEM.encode())}, dict[str, bool]()
    for store in (MemoryStore(objects), MemoryStore(objects)):
        assert find_traces(store, {ITEM}, judged) == ["model"]


def test_a_listing_whose_table_is_gone_is_left_of_an_ended_deletion() -> None:
    objects = version("c" * 64, "v") | {"r.dir": listing({"report.json": "gone"})}
    del objects["v-manifest"]
    assert traces_in(MemoryStore(objects), {ITEM}) == {"v.dir"}


class GrowingStore(MemoryStore):
    """Somebody pushes a version while its names are read: the listing is seen, its table is not yet."""

    def names(self) -> set[str]:
        late = {"v-manifest": table(media_id=[OTHER], path=["packs/1.tar"])}
        seen = super().names()
        self.objects |= late
        return seen


def test_a_version_that_is_being_pushed_stays() -> None:
    objects = version("c" * 64, "v")
    del objects["v-manifest"]
    assert traces_in(GrowingStore(objects), {ITEM}) == set()


def test_of_the_crops_the_table_and_the_shards_with_its_faces_go() -> None:
    crops = table(media_id=[OTHER, ITEM, ITEM], shard=["s0", "s1", "s1"])
    files = {"crops.parquet": "crops", "crops/s0": "shard0", "crops/s1": "shard1", "summary.json": "summary"}
    objects = {"x.dir": listing(files), "crops": crops, "shard0": b"", "shard1": b"", "summary": b"{}"}
    store = MemoryStore(objects | {"report": f'["{ITEM}:0:1"]'.encode(), "model": b"weights"})
    assert traces_in(store, {ITEM}) == {"x.dir", "crops", "shard1", "report"}
    assert "shard0" not in store.read


def test_shards_whose_table_is_gone_are_looked_into() -> None:
    files = {"crops.parquet": "gone", "crops/s0": "shard0", "crops/s1": "shard1"}
    objects = {"x.dir": listing(files), "shard0": b"no", "shard1": f"{ITEM}:0:0".encode()}
    assert traces_in(MemoryStore(objects), {ITEM}) == {"x.dir", "shard1"}


def test_an_empty_store_has_no_traces() -> None:
    assert traces_in(MemoryStore({}), {ITEM}) == set()
