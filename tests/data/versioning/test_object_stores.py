from __future__ import annotations

import json
import tarfile
from hashlib import sha256
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfakestream.data.versioning.object_stores import DvcStore
from deepfakestream.data.versioning.object_traces import find_traces

PICTURE, COPIED, OTHER = b"picture " * 40, b"copied " * 40, b"somebody else " * 40
ITEMS = {sha256(PICTURE).hexdigest(), sha256(COPIED).hexdigest()}


class MemoryFiles:
    """The file system of `MemoryDatabase`."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def open(self, path: str, mode: str) -> BytesIO:
        assert mode == "rb"
        return BytesIO(self.objects[path])

    def unstrip_protocol(self, path: str) -> str:
        return f"memory://{path}"


class MemoryDatabase:
    """One of DVC's object databases in a dictionary; the connection is lost after some deletions."""

    path = "objects"
    tmp_dir = None

    def __init__(self, objects: dict[str, bytes], num_deletions: int) -> None:
        self.fs = MemoryFiles(objects)
        self.deleted: list[str] = []
        self._left = num_deletions

    def all(self) -> list[str]:
        return list(self.fs.objects)

    def oid_to_path(self, name: str) -> str:
        return name

    def delete(self, name: str) -> None:
        if not self._left:
            raise ConnectionError("lost")
        self._left -= 1
        if name not in self.fs.objects:
            raise FileNotFoundError(name)
        del self.fs.objects[name]
        self.deleted.append(name)


def tar_of(**members: bytes) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w:") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
    return stream.getvalue()


def table(**columns: list[Any]) -> bytes:
    stream = BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def listing(files: dict[str, str]) -> bytes:
    return json.dumps([{"relpath": path, "md5": name} for path, name in files.items()]).encode()


def versions() -> dict[str, bytes]:
    """A version with a loose item, one with two items in a tar and their faces, and one with neither."""
    loose, packed, other = (sha256(content).hexdigest() for content in (PICTURE, COPIED, OTHER))
    pack = tar_of(a=PICTURE, b=COPIED, c=OTHER)
    in_tar = {"manifest.parquet": "5manifest", "packs/1.tar": "9pack"}
    faces = {"crops.parquet": "4crops", "crops/s0": "8shard", "crops/s1": "7shard"}
    return {
        "1.dir": listing({"manifest.parquet": "6manifest", f"media/{loose}.jpg": "2media"}),
        "2media": PICTURE,
        "6manifest": table(media_id=[loose], path=[f"media/{loose}.jpg"]),
        "3.dir": listing(in_tar),
        "5manifest": table(media_id=[packed, other], path=["packs/1.tar", "packs/1.tar"]),
        "9pack": pack,
        "a.dir": listing(faces),
        "4crops": table(media_id=[packed, other], shard=["s0", "s1"]),
        "8shard": b"pixels",
        "7shard": b"pixels of another",
        "0.dir": listing({"manifest.parquet": "bmanifest", f"media/{other}.jpg": "bmedia"}),
        "bmanifest": table(media_id=[other], path=[f"media/{other}.jpg"]),
        "bmedia": OTHER,
    }


NUM_TRACES = 9


def test_what_tells_of_the_contents_is_deleted_last() -> None:
    database = MemoryDatabase(versions(), 99)
    store = DvcStore("memory", database)
    store.delete(find_traces(store, ITEMS))
    assert database.deleted == [
        *("2media", "8shard", "9pack"),
        *("4crops", "5manifest", "6manifest"),
        *("1.dir", "3.dir", "a.dir"),
    ]


@pytest.mark.parametrize("num_deletions", range(NUM_TRACES))
def test_a_deletion_that_was_ended_anywhere_is_finished_by_the_next(num_deletions: int) -> None:
    objects = versions()
    broken = DvcStore("memory", MemoryDatabase(objects, num_deletions))
    with pytest.raises(ConnectionError):
        broken.delete(find_traces(broken, ITEMS))
    assert len(objects) == len(versions()) - num_deletions
    again = DvcStore("memory", MemoryDatabase(objects, 99))
    again.delete(find_traces(again, ITEMS))
    assert objects.keys() == {"0.dir", "bmanifest", "bmedia", "7shard"}


def test_listings_go_last_whatever_order_is_asked_for_and_what_is_gone_is_no_error() -> None:
    database = MemoryDatabase({"x.dir": b"", "b": b"", "a": b""}, 99)
    DvcStore("memory", database).delete(["x.dir", "gone", "b", "a"])
    assert database.deleted == ["b", "a", "x.dir"]
