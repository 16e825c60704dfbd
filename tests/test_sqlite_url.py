"""Databases lie in the workspace, whatever characters its path has."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from deepfakestream.host.database import Database
from deepfakestream.settings import load_settings
from deepfakestream.sqlite_url import sqlite_path, sqlite_url

NAMES = ["plain", "a?b", "a?b=c&d", "?", "a#b", "50%", "%41", "a b", "é", "a;b", "\udce9t\udce9", "file:"]


@pytest.mark.parametrize("name", NAMES)
def test_a_database_lies_where_its_path_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "x.db"
    url = sqlite_url(path)
    assert sqlite_path(str(make_url(url).database)) == path
    Database(url, what="numbers", migrations=["CREATE TABLE numbers (n INTEGER)"]).close()
    assert path.read_bytes().startswith(b"SQLite format 3")
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_relative_address_of_the_settings_is_one_below_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.setenv("DEEPFAKESTREAM_JOB_STORE_URL", "sqlite:///deep/x.db?timeout=7")
    url = make_url(load_settings().job_database_url)
    assert sqlite_path(str(url.database)) == tmp_path / name / "deep" / "x.db"
    assert url.query["timeout"] == "7"
