"""Names that are not valid UTF-8, as archives of older systems hold: they are taken, escaped."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.ingestion.layouts import choose_layout
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.errors import DataError, Reason
from deepfakestream.host.file_names import path_of, utf8_name
from deepfakestream.params import load_params
from deepfakestream.pipeline import data_stats, ingest, requeue
from deepfakestream.pipeline.ingest import IngestReport, IngestRequest
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").ingest
FACE_FORENSICS = "original_sequences/youtube/c23/videos"
SOURCES = {
    "file": ("real/\xe9t\xe9.png", "folders"),
    "suffix": ("real/a.p\xf1g", "folders"),
    "method": ("fake/m\xe9thode/a.png", "folders"),
    "frames of a clip": ("real/clip\xe9/0001.png", "folders"),
    "celeb_df": ("Celeb-real/\xe9/id0_0000.png", "celeb_df"),
    "faceforensics": (f"{FACE_FORENSICS}/000/\xe9.png", "faceforensics"),
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "ws")


def in_latin_1(folder: Path, name: str) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name.encode("latin-1")))


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with path.open("wb") as file:
        Image.fromarray(pixels).save(file, format="PNG")


def take(source: Path, settings: Settings) -> IngestReport:
    return ingest.run(source, params=PARAMS, settings=settings, request=IngestRequest())


@pytest.mark.parametrize("place", SOURCES)
def test_items_are_taken_under_escaped_names(settings: Settings, tmp_path: Path, place: str) -> None:
    name, layout = SOURCES[place]
    source = tmp_path / "faces"
    path = in_latin_1(source, name)
    write(path, 1)
    assert choose_layout(source).name == layout
    report = take(source, settings)
    assert report.refused == []
    (row,) = read_manifest(settings.data_dir).to_dict("records")
    assert row["original_name"] == utf8_name(str(path.relative_to(source)))
    assert (settings.data_dir / row["path"]).read_bytes() == path.read_bytes()
    row["path"].encode()
    assert take(source, settings).num_known == 1
    data_stats.card_text(settings).encode()


def test_the_name_of_the_source_is_escaped(settings: Settings, tmp_path: Path) -> None:
    source = in_latin_1(tmp_path, "v\xe9rit\xe9")
    write(source / "real" / "a.png", 1)
    report = take(source, settings)
    assert list(report.added["source"]) == ["v\\udce9rit\\udce9"]
    report.describe().encode()


def test_a_table_lies_in_a_source_with_such_a_name(settings: Settings, tmp_path: Path) -> None:
    source = in_latin_1(tmp_path, "v\xe9rit\xe9")
    write(source / "a.png", 1)
    (source / "manifest.csv").write_text("file,label\na.png,real\n")
    assert list(take(source, settings).added["source"]) == ["v\\udce9rit\\udce9"]


def test_text_of_a_source_that_no_file_system_allows_is_refused_by_item(
    settings: Settings, tmp_path: Path
) -> None:
    """JSON can hold half of a surrogate pair."""
    write(tmp_path / "part" / "a.mp4", 1)
    listing = '{"\\ud800.mp4": {"label": "REAL"}, "a.mp4": {"label": "REAL", "original": "\\udfff.mp4"}}'
    (tmp_path / "part" / "metadata.json").write_text(listing)
    report = take(tmp_path / "part", settings)
    assert list(report.added["original_name"]) == ["a.mp4"]
    assert [(each.original_name, each.reason) for each in report.refused] == [
        ("\\ud800.mp4", Reason.NOT_FOUND)
    ]


def test_a_refused_item_is_tried_again_where_it_lies(settings: Settings, tmp_path: Path) -> None:
    source = in_latin_1(tmp_path, "v\xe9rit\xe9")
    path = in_latin_1(source / "real", "\xe9t\xe9.png")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(DataError):
        take(source, settings)
    (entry,) = Quarantine(settings.quarantine_db).list()
    assert entry.origin is not None
    assert path_of(entry.origin.root) == source
    assert path_of(entry.refusal.path) == path
    json.dumps(asdict(entry), ensure_ascii=False).encode()
    write(path, 1)
    report = requeue.run(params=PARAMS, settings=settings, reason=Reason.EMPTY_FILE)
    assert [item.result for item in report.items] == [requeue.RequeueOutcome.TAKEN]


def test_a_name_that_looks_escaped_leads_to_the_file_of_that_name(tmp_path: Path) -> None:
    plain, other = tmp_path / "\\udce9t\\udce9", in_latin_1(tmp_path, "\xe9t\xe9")
    assert path_of(str(plain)) == plain
    other.write_bytes(b"")
    assert path_of(str(plain)) == other
    plain.write_bytes(b"")
    assert path_of(str(plain)) == plain
