from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.data.crop_assembly import assemble
from deepfakestream.data.face_store import StoredFaces
from deepfakestream.data.manifest import read_manifest, to_frame, to_rows, write_manifest
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.errors import DataError, GateError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.params import load_params
from deepfakestream.pipeline import validate
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").validate_


@pytest.fixture
def settings(tmp_path: Path, extraction_spec: ExtractionSpec) -> Settings:
    """Twelve items, a real and a fake in each of six groups; two crops an item, one of them too dark."""
    settings = Settings(workspace=tmp_path)
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
        found.append(face | {"luma": 2.0 if too_dark else 99.0, "image": f"{media_id}{frame}".encode()})
    return StoredFaces(media_id=media_id, num_frames=2, notes=(), faces=tuple(found))


def change(settings: Settings, name: str, rows: list[int], value: object) -> None:
    manifest = read_manifest(settings.data_dir)
    manifest.loc[rows, name] = value
    write_manifest(settings.data_dir, manifest)


def test_bad_crops_are_set_aside_and_the_way_is_free(settings: Settings) -> None:
    report = validate.run(PARAMS, settings=settings)
    directory = settings.artifacts_dir / "validate"
    assert "1 crops set aside (luma 1)" in report.describe()
    assert (directory / "data_docs" / "index.html").exists()
    dark = f"{0:064x}:0:0"
    quarantined = pd.read_parquet(directory / "quarantined.parquet")
    assert quarantined.to_dict("records") == [{"crop_id": dark, "media_id": f"{0:064x}", "rule": "luma"}]
    usable = read_usable_crops(settings.artifacts_dir)
    assert len(usable) == 23
    assert dark not in set(usable["crop_id"])


def test_the_report_is_the_same_every_time(settings: Settings) -> None:
    validate.run(PARAMS, settings=settings)
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
    assert "items.no_group_crosses_splits (4 rows, e.g. 000000000000" in message
    assert "give these items one split, or no split, in their source" in message
    report = json.loads((settings.artifacts_dir / "validate" / "report.json").read_text())
    assert report["passed"] is False
    broken = {entry["rule"]: entry for entry in report["rules"] if not entry["passed"]}
    assert broken["no_group_crosses_splits"]["failed_ids"] == [f"{number:064x}" for number in range(4)]


def test_too_small_a_set_stops_the_pipeline(settings: Settings) -> None:
    strict = PARAMS.model_copy(update={"min_items": 13, "min_groups_per_split": 3})
    with pytest.raises(GateError, match=r"2 rules are broken: items.row_count \(found 12.0\): ingest more"):
        validate.run(strict, settings=settings)


def test_before_extraction_the_step_says_what_to_run(settings: Settings) -> None:
    (settings.artifacts_dir / "extract" / "crops.parquet").unlink()
    with pytest.raises(DataError, match="extract the faces with 'dvc repro extract'"):
        validate.run(PARAMS, settings=settings)
    with pytest.raises(DataError, match="extract the faces"):
        read_usable_crops(settings.artifacts_dir)
