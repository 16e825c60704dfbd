from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from deepfakestream.data.ingestion.examination import ExaminedItem
from deepfakestream.data.ingestion.forgotten import refuse_forgotten
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.data.manifest import read_manifest, to_frame, write_manifest
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.tombstones import Tombstone
from deepfakestream.data.versioning.forgetting import remove_from_data
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.types import MediaInfo

FIRST, SECOND, THIRD = b"first picture" * 30, b"second picture" * 30, b"third picture" * 30
INFO = MediaInfo(kind="image", container="jpeg", codec="mjpeg", width_px=8, height_px=8, size_bytes=9)


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def write_pack(data_dir: Path, *members: tuple[str, bytes]) -> str:
    """Write a tar with these members and a hard link to the first; return its path in `data/`."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w:") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, BytesIO(content))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, members[0][0]
        tar.addfile(link)
    path = f"packs/{digest_of(stream.getvalue())}.tar"
    (data_dir / path).parent.mkdir(parents=True, exist_ok=True)
    (data_dir / path).write_bytes(stream.getvalue())
    return path


def write_rows(data_dir: Path, *rows: tuple[bytes, str, str | None]) -> None:
    """Write a manifest of `(content, path, member)`."""
    write_manifest(
        data_dir,
        to_frame(
            {"media_id": digest_of(content), "path": path, "member": member, "source": "set", "label": "real"}
            | {"original_name": member or "loose.jpg", "group_id": "g"}
            for content, path, member in rows
        ),
    )


def packed(data_dir: Path) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield each tar of `data/` with its members, after a look at its digest."""
    for path in sorted((data_dir / "packs").iterdir()):
        assert digest_of(path.read_bytes()) == path.stem
        with tarfile.open(path) as tar:
            files = {entry.name: tar.extractfile(entry) for entry in tar}
            yield f"packs/{path.name}", {name: file.read() if file else b"" for name, file in files.items()}


def test_a_copy_under_another_name_leaves_the_tar_too(tmp_path: Path) -> None:
    path = write_pack(tmp_path, ("a.jpg", FIRST), ("a_again.jpg", FIRST), ("b.jpg", SECOND))
    write_rows(tmp_path, (FIRST, path, "a.jpg"), (SECOND, path, "b.jpg"))
    assert remove_from_data(tmp_path, {digest_of(FIRST)}) == 1
    ((now, members),) = packed(tmp_path)
    assert members == {"b.jpg": SECOND}
    assert list(read_manifest(tmp_path)["path"]) == [now]


def test_bytes_that_another_file_of_its_name_hides_leave_the_tar(tmp_path: Path) -> None:
    path = write_pack(tmp_path, ("a.jpg", FIRST), ("a.jpg", SECOND))
    write_rows(tmp_path, (SECOND, path, "a.jpg"))
    assert remove_from_data(tmp_path, {digest_of(FIRST)}) == 0
    ((_, members),) = packed(tmp_path)
    assert members == {"a.jpg": SECOND}
    assert not any(FIRST in file.read_bytes() for file in (tmp_path / "packs").iterdir())


def test_a_tar_with_a_copy_of_a_loose_file_is_packed_without_it(tmp_path: Path) -> None:
    loose = f"media/{digest_of(FIRST)[:2]}/{digest_of(FIRST)}.jpg"
    (tmp_path / loose).parent.mkdir(parents=True)
    (tmp_path / loose).write_bytes(FIRST)
    path = write_pack(tmp_path, ("copy.jpg", FIRST), ("b.jpg", SECOND))
    untouched = write_pack(tmp_path, ("c.jpg", THIRD))
    write_rows(tmp_path, (FIRST, loose, None), (SECOND, path, "b.jpg"), (THIRD, untouched, "c.jpg"))
    assert remove_from_data(tmp_path, {digest_of(FIRST)}) == 1
    held = dict(packed(tmp_path))
    assert held.pop(untouched) == {"c.jpg": THIRD, "link.jpg": THIRD}
    ((now, members),) = held.items()
    assert members == {"b.jpg": SECOND}
    assert set(read_manifest(tmp_path)["path"]) == {now, untouched}


def test_a_tar_is_packed_again_where_no_row_is_left_to_remove(tmp_path: Path) -> None:
    path = write_pack(tmp_path, ("a.jpg", FIRST), ("b.jpg", SECOND))
    write_rows(tmp_path, (SECOND, path, "b.jpg"))
    assert remove_from_data(tmp_path, set()) == 0
    assert (tmp_path / path).exists()
    for _ in range(2):
        assert remove_from_data(tmp_path, {digest_of(FIRST)}) == 0
        ((now, members),) = packed(tmp_path)
        assert members == {"b.jpg": SECOND}
        assert list(read_manifest(tmp_path)["path"]) == [now]


def test_the_last_item_takes_its_tar_along(tmp_path: Path) -> None:
    path = write_pack(tmp_path, ("a.jpg", FIRST), ("refused.jpg", SECOND))
    write_rows(tmp_path, (FIRST, path, "a.jpg"))
    assert remove_from_data(tmp_path, {digest_of(FIRST)}) == 1
    assert len(read_manifest(tmp_path)) == 0
    assert list(packed(tmp_path)) == []


def test_a_missing_tar_is_explained(tmp_path: Path) -> None:
    write_rows(tmp_path, (FIRST, "packs/1.tar", "a.jpg"))
    (tmp_path / "packs").mkdir()
    with pytest.raises(DataError, match=r"packs/1\.tar: cannot be packed without the item"):
        remove_from_data(tmp_path, {digest_of(SECOND)})


def examined(
    content: bytes, path: Path, member: str | None, *, info: MediaInfo | None = INFO
) -> ExaminedItem:
    item = SourceItem(name=member or path.name, path=path, member=member, label="real")
    return ExaminedItem(item=item, source="set", media_id=digest_of(content), label="real", info=info)


def test_a_new_item_is_refused_with_the_tar_that_holds_forgotten_bytes(tmp_path: Path) -> None:
    bad = tmp_path / write_pack(tmp_path, ("a.jpg", FIRST), ("b.jpg", SECOND))
    good = tmp_path / write_pack(tmp_path, ("c.jpg", THIRD))
    stone = Tombstone(media_id=digest_of(FIRST), forgotten_at="2026-01-01T00:00:00+00:00", reason="asked")
    stays = [
        examined(SECOND, bad, "b.jpg", info=None),
        examined(THIRD, good, "c.jpg"),
        examined(THIRD, tmp_path / "loose.jpg", None),
    ]
    outcomes = [examined(SECOND, bad, "b.jpg"), *stays]
    refused, *others = refuse_forgotten(outcomes, {stone.media_id: stone})
    assert others == stays
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.media_id) == (Reason.FORGOTTEN, digest_of(SECOND))
    assert refused.message == (
        f"b.jpg: its tar {bad} holds a file of sha256 {stone.media_id[:12]}…; these bytes were forgotten on "
        "2026-01-01 (asked); pack the tar again without that file and ingest again"
    )
    assert list(refuse_forgotten(outcomes, {})) == outcomes


def test_a_tar_that_changed_meanwhile_is_explained(tmp_path: Path) -> None:
    stone = Tombstone(media_id="ab" * 32, forgotten_at="2026", reason="asked")
    with pytest.raises(DataError, match=r"gone\.tar: changed while it was being ingested"):
        list(refuse_forgotten([examined(FIRST, tmp_path / "gone.tar", "a")], {stone.media_id: stone}))
