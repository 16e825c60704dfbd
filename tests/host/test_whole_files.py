from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import pytest

from deepfakestream.errors import DataError
from deepfakestream.host.locks import exclusive
from deepfakestream.host.whole_files import copy_verified, remove_partials, replacing, replacing_folder


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "manifest"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target) as partial:
        partial.with_name("missing").rename(partial)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_threads_that_replace_one_file_do_not_write_into_one_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    both = Barrier(2)

    def write(text: str) -> None:
        with replacing(path) as partial:
            both.wait(30)
            partial.write_text(text)
            both.wait(30)
            assert partial.read_text() == text

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, ["one", "two"]))
    assert path.read_text() in {"one", "two"}
    assert list(tmp_path.iterdir()) == [path]


def fail_half_way(folder: Path) -> None:
    with replacing_folder(folder) as partial:
        (partial / "new").touch()
        raise ValueError("half way")


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "train"
    with replacing_folder(target) as partial:
        (partial / "old").touch()
    with pytest.raises(ValueError, match="half way"):
        fail_half_way(target)
    assert [path.name for path in target.iterdir()] == ["old"]
    with replacing_folder(target) as partial:
        assert list(partial.iterdir()) == []  # what the failed one left is gone
        (partial / "newer").touch()
    assert [path.name for path in target.iterdir()] == ["newer"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_copy_is_made_once_and_checked(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "deep" / "b"
    source.write_bytes(b"content")
    copy_verified(source, target, sha256=sha256(b"content").hexdigest())
    made_at = target.stat().st_mtime_ns
    copy_verified(source, target, sha256=sha256(b"content").hexdigest())
    assert target.read_bytes() == b"content"
    assert target.stat().st_mtime_ns == made_at


def test_a_file_that_changed_meanwhile_is_not_taken(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"changed")
    with pytest.raises(DataError, match="changed while it was being ingested"):
        copy_verified(source, target, sha256=sha256(b"content").hexdigest())
    assert list(tmp_path.iterdir()) == [source]


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4.123.partial").write_text("half")
    (tmp_path / "a" / "x.mp4").write_text("whole")
    remove_partials(tmp_path)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.mp4"]


def test_a_second_process_is_told_to_wait(tmp_path: Path) -> None:
    lock = tmp_path / "work" / "ingest.lock"
    with (
        exclusive(lock, doing="ingesting"),
        pytest.raises(DataError, match="another process is ingesting"),
        exclusive(lock, doing="ingesting"),
    ):
        pass
    with exclusive(lock, doing="ingesting"):
        pass
