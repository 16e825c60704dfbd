from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from deepfakestream.data.crop_store import decode_image, encode_image
from deepfakestream.data.extraction.crop_assembly import assemble
from deepfakestream.data.extraction.face_store import StoredFaces
from deepfakestream.data.manifest import read_manifest, to_frame, to_rows, write_manifest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.errors import DataError, GateError, Reason
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.params import load_params
from deepfakestream.pipeline import validate
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").validate_


@pytest.fixture
def settings(tmp_path: Path, extraction_spec: ExtractionSpec) -> Settings:
    return extracted(tmp_path, extraction_spec)


class Validated(NamedTuple):
    """A workspace after the step, and what the step returned."""

    settings: Settings
    report: validate.ValidateReport


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory, extraction_spec: ExtractionSpec) -> Validated:
    """Do not change it."""
    settings = extracted(tmp_path_factory.mktemp("validated"), extraction_spec)
    return Validated(settings, validate.run(PARAMS, settings=settings))


def extracted(workspace: Path, extraction_spec: ExtractionSpec) -> Settings:
    """Twelve items, a real and a fake in each of six groups; two crops an item, one of them too dark."""
    settings = Settings(workspace=workspace)
    write_manifest(settings.data_dir, to_frame(row(number) for number in range(12)))
    rows = to_rows(read_manifest(settings.data_dir))
    assemble(
        settings.artifacts_dir / "extract",
        ((item, faces(item["media_id"])) for item in rows),
        shard_size=8,
        spec=extraction_spec,
    )
    return settings


def row(number: int) -> dict[str, object]:
    group, is_fake = number // 2, number % 2 == 1
    return {
        "media_id": f"{number:064x}",
        "path": "x",
        "kind": "video",
        "label": "fake" if is_fake else "real",
        "manipulation": "swap" if is_fake else "none",
        "group_id": f"set:{group}",
        "split": ("train", "val", "test")[group % 3],
        "source": "set",
        "original_name": f"{number}.mp4",
        "size_bytes": 1,
    }


def faces(media_id: str) -> StoredFaces:
    found = []
    for frame in range(2):
        too_dark = media_id.endswith("0") and frame == 0
        face = {"frame_index": frame, "time_s": 0.0, "track_id": 0, "box_xyxy": [0.0] * 4}
        face |= {"landmarks_xy": [0.0] * 10, "score": 0.9, "face_px": 50.0, "sharpness": 9.0}
        found.append(face | {"luma": 2.0 if too_dark else 99.0, "image": pattern(f"{media_id}{frame}")})
    return StoredFaces(media_id=media_id, num_frames=2, notes=(), faces=tuple(found))


def pattern(name: str) -> bytes:
    """A picture that no other name has."""
    generator = np.random.default_rng(list(name.encode()))
    coarse = generator.integers(0, 255, (12, 12, 3)).astype(np.uint8)
    return encode_image(np.asarray(cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8))


def change(settings: Settings, name: str, rows: list[int], value: object) -> None:
    manifest = read_manifest(settings.data_dir)
    manifest.loc[rows, name] = value
    write_manifest(settings.data_dir, manifest)


def test_bad_crops_are_set_aside_and_the_way_is_free(validated: Validated) -> None:
    settings, report = validated
    directory = settings.artifacts_dir / "validate"
    assert "1 crop excluded (luma 1)" in report.describe()
    (entry,) = Quarantine(settings.quarantine_db).list()
    assert (entry.refusal.original_name, entry.refusal.reason) == ("0.mp4", Reason.LOW_QUALITY)
    assert (directory / "data_docs" / "index.html").exists()
    dark = f"{0:064x}:0:0"
    quarantined = pd.read_parquet(directory / "quarantined.parquet")
    assert quarantined.to_dict("records") == [{"crop_id": dark, "media_id": f"{0:064x}", "rule": "luma"}]
    usable = read_usable_crops(settings.artifacts_dir)
    assert len(usable) == 23
    assert dark not in set(usable["crop_id"])


def test_the_report_is_the_same_every_time(validated: Validated, tmp_path: Path) -> None:
    shutil.copytree(validated.settings.workspace, tmp_path, dirs_exist_ok=True)
    settings = Settings(workspace=tmp_path)
    path = settings.artifacts_dir / "validate" / "report.json"
    first = path.read_bytes()
    validate.run(PARAMS, settings=settings)
    assert path.read_bytes() == first
    assert json.loads(first)["passed"] is True


def test_a_leak_stops_the_pipeline_and_names_the_rows(settings: Settings) -> None:
    change(settings, "group_id", [2, 3], "set:0")  # a group of val becomes one of train
    with pytest.raises(GateError) as caught:
        validate.run(PARAMS, settings=settings)
    message = str(caught.value)
    assert "items.no_group_crosses_splits (4 rows, e.g. set/0.mp4, set/1.mp4, set/2.mp4)" in message
    assert "give these items one split, or no split, in their source" in message
    report = json.loads((settings.artifacts_dir / "validate" / "report.json").read_text())
    assert report["passed"] is False
    broken = {entry["rule"]: entry for entry in report["rules"] if not entry["passed"]}
    assert broken["no_group_crosses_splits"]["failed_ids"] == [f"{number:064x}" for number in range(4)]


def test_too_small_a_set_stops_the_pipeline(settings: Settings) -> None:
    strict = PARAMS.model_copy(update={"min_items": 13, "min_groups_per_split": 3})
    with pytest.raises(GateError, match=r"items\.row_count .*12"):
        validate.run(strict, settings=settings)


def test_before_extraction_the_step_says_what_to_run(settings: Settings) -> None:
    (settings.artifacts_dir / "extract" / "crops.parquet").unlink()
    with pytest.raises(DataError, match="'dvc repro extract'"):
        validate.run(PARAMS, settings=settings)
    with pytest.raises(DataError, match="'dvc repro extract'"):
        read_usable_crops(settings.artifacts_dir)


def test_a_clip_under_two_names_is_taken_out_of_training(
    settings: Settings, extraction_spec: ExtractionSpec
) -> None:
    """Item 0 of train shows, re-encoded, what item 3 of val shows: a warning, then both splits go on."""
    rows = to_rows(read_manifest(settings.data_dir))
    shown = decode_image(pattern(f"{3:064x}0"), name="item 3")[:, :, ::-1]
    copied = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()

    def found(item: dict[str, object]) -> StoredFaces:
        stored = faces(str(item["media_id"]))
        if item["media_id"] != f"{0:064x}":
            return stored
        return replace(stored, faces=tuple({**face, "luma": 99.0, "image": copied} for face in stored.faces))

    assemble(
        settings.artifacts_dir / "extract",
        ((item, found(item)) for item in rows),
        shard_size=8,
        spec=extraction_spec,
    )
    lenient = PARAMS.model_copy(update={"max_near_duplicate_share": 0.3})
    report = validate.run(lenient, settings=settings)
    assert "set/0.mp4 in train ~ set/3.mp4 in val" in report.describe()
    assert f"{0:064x}" not in set(read_usable_crops(settings.artifacts_dir)["media_id"])
    (entry,) = Quarantine(settings.quarantine_db).list()
    assert (entry.refusal.original_name, entry.refusal.reason) == ("0.mp4", Reason.NEAR_DUPLICATE)
    directory = settings.artifacts_dir / "validate"
    assert pd.read_csv(directory / "near_duplicates.csv")["kept_name"].tolist() == ["set/3.mp4"]
    assert (directory / "data_docs" / "near_duplicates.png").exists()
    with pytest.raises(GateError, match=r"splits.near_duplicate_share \(2 rows, e.g. train, val\): look at"):
        validate.run(PARAMS, settings=settings)


def test_a_set_whose_label_is_its_encoder_stops_and_names_the_column(
    settings: Settings, extraction_spec: ExtractionSpec
) -> None:
    rows = [row(number) for number in range(72)]
    for number, item in enumerate(rows):
        item |= {"width_px": 64, "height_px": 64, "jpeg_quality": 60.0 if number % 2 else 90.0}
    write_manifest(settings.data_dir, to_frame(rows))
    assemble(
        settings.artifacts_dir / "extract",
        ((item, faces(item["media_id"])) for item in to_rows(read_manifest(settings.data_dir))),
        shard_size=64,
        spec=extraction_spec,
    )
    with pytest.raises(GateError, match=r"gives_label_away \(2 rows, e.g. .*jpeg_quality: AUC 1.00"):
        validate.run(PARAMS, settings=settings)


def test_the_page_shows_every_rule_and_loads_nothing_from_elsewhere(validated: Validated) -> None:
    settings, report = validated
    page = (settings.validate_dir / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\s\"'<]+|<script|@import", page) == []
    assert page.count("<tr><td>") == len(report.results)
    first = page[page.index("<tr><td>") :].partition("</tr>")[0]
    (dark,) = (result for result in report.results if result.rule == "luma")
    assert f"<td>{dark.table}<td>luma<td" in first
    assert dark.remedy in html.unescape(first)
