from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from deepfakestream.data.extraction.face_store import FaceStore, StoredFaces, drop_everywhere, read_stored
from deepfakestream.errors import DataError, Reason
from deepfakestream.host.locks import exclusive


def result(media_id: str, *, num_faces: int = 1) -> StoredFaces:
    face = {
        "frame_index": 0,
        "time_s": 0.0,
        "track_id": 0,
        "box_xyxy": [0.0, 0.0, 8.0, 8.0],
        "landmarks_xy": [4.0] * 10,
        "score": 0.5,
        "face_px": 8.0,
        "sharpness": 1.0,
        "luma": 100.0,
        "yaw_deg": None,
        "pitch_deg": None,
        "roll_deg": None,
        "image": f"picture of {media_id}".encode(),
    }
    return StoredFaces(media_id=media_id, num_frames=1, notes=(Reason.TRUNCATED,), faces=(face,) * num_faces)


def bytes_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_half_a_batch_is_no_batch(tmp_path: Path) -> None:
    store = FaceStore(tmp_path, "key")
    path = store.commit([StoredFaces(media_id="a", num_frames=1, notes=(Reason.NO_FACE,))])
    torn = path.with_name(f"{path.name}.7.partial")
    torn.write_bytes(path.read_bytes()[:50])
    assert store.index() == {"a": path}
    assert not torn.exists()
    assert read_stored(path, "a") == StoredFaces(media_id="a", num_frames=1, notes=(Reason.NO_FACE,))


def test_a_later_index_opens_only_what_is_new(tmp_path: Path) -> None:
    store = FaceStore(tmp_path, "key")
    first = store.commit([result("a")])
    known = store.index()
    first.write_bytes(b"would not be readable")
    second = store.commit([result("b")])
    assert store.index(known) == {"a": first, "b": second}


def test_a_dropped_item_is_gone_from_every_key_and_its_neighbours_stay(tmp_path: Path) -> None:
    crops, media = FaceStore(tmp_path, "crop-1"), FaceStore(tmp_path, "media-1")
    crops.commit([result("a"), result("b", num_faces=2), result("c", num_faces=0)])
    media.commit([result("b")])
    media.commit([result("a")])
    assert drop_everywhere(tmp_path, ["b", "never seen"]) == 2
    assert sorted(crops.index()) == ["a", "c"]
    assert sorted(media.index()) == ["a"]
    for store, media_id, num_faces in ((crops, "a", 1), (crops, "c", 0), (media, "a", 1)):
        path = store.index()[media_id]
        assert read_stored(path, media_id) == result(media_id, num_faces=num_faces)
    assert b"picture of b" not in bytes_under(tmp_path)
    assert drop_everywhere(tmp_path, ["b"]) == 0


def test_the_rest_of_a_file_can_be_stored_and_dropped_again(tmp_path: Path) -> None:
    store = FaceStore(tmp_path, "key")
    store.commit([result("a"), result("b")])
    assert store.drop(["a"]) == 1
    store.commit([result("a"), result("b")])
    assert sorted(store.index()) == ["a", "b"]
    assert store.drop(["a", "b"]) == 2
    assert store.index() == {}


def test_dropping_reads_files_of_older_columns(tmp_path: Path) -> None:
    path = tmp_path / "media-old" / "ab" / "ab.arrow"
    path.parent.mkdir(parents=True)
    facts = '{"num_frames": 1, "notes": [], "message": ""}'
    table = pa.table({"media_id": ["a", "b"], "image": [b"picture of a", b"picture of b"]})
    described = table.replace_schema_metadata({"items": f'{{"a": {facts}, "b": {facts}}}'})
    with pa.ipc.new_file(path, described.schema) as writer:
        writer.write_table(described)
    assert drop_everywhere(tmp_path, ["a"]) == 1
    assert read_stored(path, "b").faces == ({"image": b"picture of b"},)


def test_what_a_kill_left_half_written_goes_too(tmp_path: Path) -> None:
    path = FaceStore(tmp_path, "key").commit([result("a")])
    path.with_name(f"{path.name}.7.partial").write_bytes(b"picture of b")
    assert drop_everywhere(tmp_path, ["b"]) == 0
    assert b"picture of b" not in bytes_under(tmp_path)


def test_nothing_is_dropped_while_an_extraction_runs(tmp_path: Path) -> None:
    FaceStore(tmp_path, "key").commit([result("a")])
    with exclusive(tmp_path / ".lock", doing="x"), pytest.raises(DataError, match="another process is extr"):
        drop_everywhere(tmp_path, ["a"])
    assert sorted(FaceStore(tmp_path, "key").index()) == ["a"]


def test_a_store_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert drop_everywhere(tmp_path / "none", ["a"]) == 0
    assert not (tmp_path / "none").exists()
