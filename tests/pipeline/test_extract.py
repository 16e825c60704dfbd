from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from deepfakestream.data.crop_store import read_crop_table, read_images
from deepfakestream.data.extraction.face_store import exclusive_store
from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.errors import DataError, Reason
from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.types import FaceDetector
from deepfakestream.media.types import RGBImage
from deepfakestream.params import load_params
from deepfakestream.pipeline import extract, ingest
from deepfakestream.settings import Settings

ROOT = Path(__file__).parents[2]
ALL_PARAMS = load_params(ROOT / "params.yaml")
PARAMS = ALL_PARAMS.extract.model_copy(update={"num_frames": 3, "crop_size_px": 96, "shard_size": 3})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, face_clip: Path, astronaut: RGBImage) -> Path:
    """A clip and a picture with a face, a picture without, and a face crop of the size that is asked for."""
    folder = tmp_path_factory.mktemp("set")
    (folder / "clip.mp4").write_bytes(face_clip.read_bytes())
    Image.fromarray(astronaut).save(folder / "person.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(folder / "wall.png")
    Image.fromarray(astronaut[40:136, 180:276]).save(folder / "crop.jpg", quality=95)
    rows = ["file,label,kind,group_id", "clip.mp4,fake,,a", "person.png,real,,a"]
    rows += ["wall.png,real,,b", "crop.jpg,real,crop,c"]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def settings(source: Path, tmp_path: Path) -> Settings:
    settings = Settings(workspace=tmp_path, device="cpu", executor="inline")
    ingest.run(source, params=ALL_PARAMS.ingest, settings=settings, request=ingest.IngestRequest())
    return settings


def run(settings: Settings, params: ExtractParams = PARAMS) -> extract.ExtractReport:
    return extract.run(params, settings=settings)


def output(settings: Settings) -> dict[str, bytes]:
    folder = settings.artifacts_dir / "extract"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_faces_become_crops_that_carry_their_item(settings: Settings, source: Path) -> None:
    report = run(settings)
    assert (report.num_items, report.num_crops, report.num_without_face) == (4, 5, 1)
    table = read_crop_table(settings.artifacts_dir / "extract")
    assert table["label"].value_counts().to_dict() == {"fake": 3, "real": 2}
    assert table["crop_id"].is_unique
    assert set(table["shard"]) == {"shard-00000.arrow", "shard-00001.arrow"}
    images = list(read_images(settings.artifacts_dir / "extract", table))
    assert {image.shape for image in images} == {(96, 96, 3)}
    position = int(np.flatnonzero(table["group_id"] == "set0:c")[0])
    crop = np.asarray(Image.open(source / "crop.jpg"))
    assert np.abs(images[position].astype(int) - crop).max() <= 2
    assert "extracted 5 face crops from 4 items" in report.describe()


def test_an_item_without_a_face_is_listed_and_quarantined(settings: Settings) -> None:
    run(settings)
    summary = json.loads((settings.artifacts_dir / "extract" / "summary.json").read_text())
    assert [(item["original_name"], item["reason"]) for item in summary["empty"]] == [("wall.png", "no_face")]
    (entry,) = Quarantine(settings.quarantine_db).list()
    assert (entry.refusal.original_name, entry.refusal.reason) == ("wall.png", Reason.NO_FACE)


def test_a_second_run_reads_the_store_and_gives_the_same_bytes(settings: Settings) -> None:
    run(settings)
    before = output(settings)
    report = run(settings)
    assert report.num_reused == 4
    assert output(settings) == before
    assert {path.suffix for path in map(Path, before)} == {".arrow", ".parquet", ".json"}


def test_items_that_come_meanwhile_stop_the_step(
    settings: Settings, tmp_path: Path, astronaut: RGBImage
) -> None:
    """DVC looks at data/ afterwards: it would take them for extracted, and never extract them."""
    late = tmp_path / "more" / "real" / "late.png"
    late.parent.mkdir(parents=True)
    Image.fromarray(astronaut[:, ::-1]).save(late)

    def open_late() -> FaceDetector:
        request = ingest.IngestRequest()
        ingest.run(tmp_path / "more", params=ALL_PARAMS.ingest, settings=settings, request=request)
        return open_detector(PARAMS.detector, weights=None, device="cpu")

    with pytest.raises(DataError, match="items were added or taken away while faces were extracted"):
        extract.run(PARAMS, settings=settings, detector_factory=open_late)
    assert run(settings).num_items == 5


@pytest.mark.slow
def test_a_pool_finds_what_this_process_finds(settings: Settings) -> None:
    run(settings)
    before = output(settings)
    shutil.rmtree(settings.face_store_dir)
    report = run(settings.model_copy(update={"executor": "process", "num_workers": 2}))
    assert report.num_reused == 0
    assert output(settings) == before


def test_another_detector_recomputes_only_what_it_has_seen(settings: Settings) -> None:
    run(settings)
    before = output(settings)
    other = partial(other_digest, "retinaface_mnet025")
    assert extract.run(PARAMS, settings=settings, detector_factory=other).num_reused == 1  # the face crop
    assert extract.run(PARAMS, settings=settings, detector_factory=other).num_reused == 4
    assert output(settings) == before
    assert run(settings).num_reused == 4


def other_digest(name: str) -> FaceDetector:
    detector = open_detector(name, weights=None, device="cpu")
    detector.digest = "e" * 64
    return detector


def test_a_file_that_is_gone_stops_the_step_and_is_not_remembered(settings: Settings) -> None:
    (clip,) = settings.data_dir.glob("media/*/*.mp4")
    away = clip.rename(settings.workspace / "away.mp4")
    with pytest.raises(DataError, match=f"{clip.name}: .*'dvc pull'"):
        run(settings)
    away.rename(clip)
    assert run(settings).num_unreadable == 0


def test_two_extractions_do_not_run_at_once(settings: Settings) -> None:
    with exclusive_store(settings.face_store_dir), pytest.raises(DataError, match="another process is extr"):
        run(settings)


def test_a_changed_parameter_recomputes_only_what_depends_on_it(settings: Settings) -> None:
    run(settings)
    more_frames = PARAMS.model_copy(update={"num_frames": 4})
    assert run(settings, more_frames).num_reused == 1  # the face crop: no frame was ever sampled from it
    other_shards = PARAMS.model_copy(update={"shard_size": 100})
    assert run(settings, other_shards).num_reused == 4


def test_another_classifier_recomputes_nothing(settings: Settings) -> None:
    run(settings)
    before = output(settings)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["train"]["network"] |= {"start_from": "models/another", "backbone": "resnet18", "variant": "srm"}
    content["train"]["optimisation"]["epochs"] = 9
    content["evaluate"]["num_bootstrap"] += 1
    content["serve"]["operating_point"] = "low_fpr"
    content["extract"] = PARAMS.model_dump()
    path = settings.workspace / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    another = settings.model_copy(update={"registered_model": "another", "tracking_uri": "http://other"})
    shutil.rmtree(settings.data_dir / "media")  # what opens an item now finds none
    assert run(another, load_params(path).extract).num_reused == 4
    assert output(settings) == before
    assert [folder.name[:5] for folder in sorted(settings.face_store_dir.glob("*-*"))] == ["crop-", "media"]


def test_the_stage_graph_runs_extraction_again_for_no_other_section() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["extract"]
    assert stage["params"] == ["extract"]
    deciding = {Path(dep).name for dep in stage["deps"]}
    assert not deciding & {"training", "model", "forge", "registry", "evaluation", "train", "train.py"}


def test_a_face_found_later_leaves_the_quarantine(settings: Settings) -> None:
    strict = PARAMS.model_copy(update={"min_face_px": 99})
    run(settings, strict)
    reasons = {e.refusal.original_name: e.refusal.reason for e in Quarantine(settings.quarantine_db).list()}
    assert reasons["person.png"] == Reason.FACE_TOO_SMALL
    run(settings)
    names = [e.refusal.original_name for e in Quarantine(settings.quarantine_db).list()]
    assert names == ["wall.png"]


def test_without_any_face_the_step_fails(settings: Settings, tmp_path: Path, source: Path) -> None:
    empty = Settings(workspace=tmp_path / "other", executor="inline")
    (tmp_path / "walls" / "real").mkdir(parents=True)
    (tmp_path / "walls" / "real" / "wall.png").write_bytes((source / "wall.png").read_bytes())
    request = ingest.IngestRequest()
    ingest.run(tmp_path / "walls", params=ALL_PARAMS.ingest, settings=empty, request=request)
    with pytest.raises(DataError, match=r"extract\.min_score"):
        run(empty)


def test_without_data_the_step_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'deepfakestream ingest SOURCE'"):
        run(Settings(workspace=tmp_path))


def test_extraction_gives_the_crops_it_always_gave(settings: Settings) -> None:
    # When this changes, raise face_store.ALGORITHM_VERSION: the store would return the old crops.
    run(settings)
    table = read_crop_table(settings.artifacts_dir / "extract")
    person = table[(table["group_id"] == "set0:a") & (table["label"] == "real")].iloc[0]
    assert person["box_xyxy"] == pytest.approx([177.9, 56.8, 273.1, 177.2], abs=0.5)
    (image,) = read_images(settings.artifacts_dir / "extract", table[table["crop_id"] == person["crop_id"]])
    assert image.mean(axis=(0, 1)) == pytest.approx([177.6, 148.8, 124.7], abs=0.5)
    assert image[48, 48].tolist() == pytest.approx([219, 175, 149], abs=2)
