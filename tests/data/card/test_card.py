"""The data card in docs/DATA.md is the one of the version that the repository points at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.pipeline.data_stats import card_text
from deepfakestream.settings import Settings

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- begin: deepfakestream data card --print -->\n", "<!-- end -->"


def documented() -> str:
    text = (ROOT / "docs" / "DATA.md").read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0]


def test_it_is_of_the_version_that_the_repository_points_at() -> None:
    assert re.findall(r"Version `([0-9a-f]{32}\.dir)`", documented()) == [DvcRepo(ROOT).data_digest()]


@pytest.mark.devdata
def test_it_is_what_the_generator_writes() -> None:
    if not (ROOT / "data" / "manifest.parquet").exists():
        pytest.skip("the sample of data.dvc has not been made here; docs/DATA.md says how")
    assert card_text(Settings(workspace=ROOT)) == documented()
