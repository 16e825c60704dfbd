from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from infra.demo import sample


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kept", ["holiday.jpg", "labelled/manifest.csv", "labelled/a.jpg"])
def test_what_somebody_else_keeps_there_is_not_touched(kept, tmp_path):
    (tmp_path / "photos" / kept).parent.mkdir(parents=True)
    (tmp_path / "photos" / kept).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DataError):
        sample.build(tmp_path / "photos")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["file", "link"])
def test_a_file_or_a_link_of_that_name_is_not_touched(name, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError):
        sample.build(tmp_path / name)
    assert contents(tmp_path) == {"file": "mine"}
    assert (tmp_path / "link").is_symlink()
