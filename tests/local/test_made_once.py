from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from deepfakestream.local import sample
from deepfakestream.local.made_once import MARK, filled


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_whole(tmp_path):
    with filled(tmp_path / "new" / "sample") as partial:
        (partial / "a").write_text("first")
        assert not (tmp_path / "new" / "sample").exists()
    assert contents(tmp_path) == {"new/sample/a": "first", f"new/sample/{MARK}": ""}


def fail_halfway(folder: Path) -> None:
    with filled(folder) as partial:
        (partial / "a").write_text("half")
        raise KeyboardInterrupt


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_halfway(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_and_what_a_killed_run_left_are_used(tmp_path):
    (tmp_path / "sample").mkdir()
    left = tmp_path / "sample.partial"
    (left / "labelled").mkdir(parents=True)
    (left / MARK).touch()
    (left / "labelled" / "half.jpg").touch()
    with filled(tmp_path / "sample") as partial:
        (partial / "a").write_text("whole")
    assert contents(tmp_path) == {"sample/a": "whole", f"sample/{MARK}": ""}


@pytest.mark.parametrize("name", ["photos", "photos.partial"])
@pytest.mark.parametrize("kept", ["holiday.jpg", "labelled/manifest.csv", "labelled/a.jpg"])
def test_what_somebody_else_keeps_there_is_not_touched(name, kept, tmp_path):
    (tmp_path / name / kept).parent.mkdir(parents=True)
    (tmp_path / name / kept).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DataError, match=rf"{name}: .*, or name another folder$|{name}: .* new or empty$"):
        sample.build(tmp_path / "photos")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["file", "link"])
def test_a_file_or_a_link_of_that_name_is_not_touched(name, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"{name}: holds something that is no sample"):
        sample.build(tmp_path / name)
    assert contents(tmp_path) == {"file": "mine"}
    assert (tmp_path / "link").is_symlink()
