from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mlflow
import numpy as np
import pytest
import torch
import yaml

from deepfakestream.data.crop_store import encode_image
from deepfakestream.data.extraction.crop_assembly import assemble
from deepfakestream.data.extraction.face_store import StoredFaces
from deepfakestream.data.manifest import read_manifest, to_frame, to_rows, write_manifest
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.errors import DataError, ParamsError
from deepfakestream.faces.crop import crop_face
from deepfakestream.host.code_identity import own_code
from deepfakestream.host.locks import exclusive
from deepfakestream.media.types import RGBImage
from deepfakestream.model.network import NORMALISATION, create_network
from deepfakestream.model.scorer import open_scorer
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec, DetectorSpec
from deepfakestream.params import Params, load_params
from deepfakestream.pipeline import ablate, search, train
from deepfakestream.pipeline.trigger import Trigger, read_trigger, trigger_of
from deepfakestream.settings import Settings
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.job import CropFolders, open_job

NUM_ITEMS = 24
SIZE_PX = 64


def _row(number: int) -> dict[str, Any]:
    group, is_fake = number // 2, number % 2 == 1
    return {
        "media_id": f"{number:064x}",
        "path": "x",
        "kind": "video",
        "label": "fake" if is_fake else "real",
        "manipulation": "tint" if is_fake else "none",
        "group_id": f"set:{group}",
        "split": ("train", "train", "val", "test")[group % 4],
        "source": "set",
        "original_name": f"{number}.mp4",
        "size_bytes": 1,
    }


def _stored(item: dict[str, Any], face: RGBImage) -> StoredFaces:
    number = int(item["media_id"], 16)
    found = []
    for frame in range(2):
        image = (face * (0.6 + 0.015 * number + 0.01 * frame)).astype(np.uint8)
        if item["label"] == "fake":
            image[..., 1] = np.clip(image[..., 1].astype(int) + 90, 0, 255)
        entry = {"frame_index": frame, "time_s": float(frame), "track_id": 0, "box_xyxy": [0.0] * 4}
        entry |= {"landmarks_xy": [0.0] * 10, "score": 0.9, "face_px": 80.0, "sharpness": 90.0}
        found.append(entry | {"luma": 99.0, "image": encode_image(image)})
    return StoredFaces(media_id=item["media_id"], num_frames=2, notes=(), faces=tuple(found))


@pytest.fixture
def params(tmp_path: Path, write_weights: Callable[..., None]) -> Params:
    """Two epochs of a tiny network that starts from a folder of its own."""
    whole = load_params(Path(__file__).parents[2] / "params.yaml")
    start = tmp_path / "start"
    small = whole.train.changed(
        {
            "network": {"backbone": "test_efficientnet", "start_from": str(start)},
            "optimisation": {"epochs": 2, "batch_size": 4},
            "samples": {"num_workers": 0, "augment": "light"},
        }
    )
    extract = whole.extract.model_copy(
        update={"crop_size_px": SIZE_PX, "crop_scale": 1.0, "crop_shift_y": 0.0}
    )
    torch.manual_seed(0)
    spec = DetectorSpec(
        network=small.network.spec,
        normalisation=NORMALISATION,
        extraction=extract.spec,
        aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=3),
        calibration=CalibrationSpec(slope=1.0, intercept=0.0),
        operating_points={},
        trained_on="nothing",
    )
    write_weights(create_network(spec.network), spec, start)
    return whole.model_copy(update={"train": small, "extract": extract})


@pytest.fixture
def make(tmp_path: Path, empty_store: Path, astronaut: RGBImage, params: Params) -> Callable[..., Settings]:
    """Make a workspace with extracted and validated crops of some splits."""

    def _make(*, splits: tuple[str, ...] = ("train", "val", "test"), validated: bool = True) -> Settings:
        settings = Settings(workspace=tmp_path / "ws", device="cpu", tracking_uri=None)
        settings.work_dir.mkdir(parents=True)
        shutil.copyfile(empty_store, settings.work_dir / "mlflow.db")
        crop = crop_face(astronaut, np.array((178.0, 58.0, 273.0, 178.0)), scale=1.0, size_px=SIZE_PX)
        items = [row for row in map(_row, range(NUM_ITEMS)) if row["split"] in splits]
        write_manifest(settings.data_dir, to_frame(items))
        rows = to_rows(read_manifest(settings.data_dir))
        assemble(
            settings.artifacts_dir / "extract",
            ((item, _stored(item, crop)) for item in rows),
            shard_size=64,
            spec=params.extract.spec,
        )
        if validated:
            _accept_all(settings)
        return settings

    return _make


def _changed(params: Params, group: str, **values: object) -> Params:
    return params.model_copy(update={"train": params.train.changed({group: values})})


def _client(settings: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=settings.mlflow_store_uri)


def _leftovers(settings: Settings) -> list[str]:
    return [path.name for path in settings.artifacts_dir.rglob("*") if "partial" in path.name]


class TestRefused:
    def test_not_validated(self, make: Callable[..., Settings], params: Params) -> None:
        with pytest.raises(DataError, match="'dvc repro validate'"):
            train.run(params, settings=make(validated=False))

    @pytest.mark.parametrize("missing", ["train", "val"])
    def test_missing_split(self, make: Callable[..., Settings], params: Params, missing: str) -> None:
        settings = make(splits=tuple({"train", "val", "test"} - {missing}), validated=False)
        _accept_all(settings)
        with pytest.raises(DataError, match=f"'{missing}'"):
            train.run(params, settings=settings)
        assert not (settings.artifacts_dir / "train").exists()

    def test_crops_that_were_made_otherwise(self, make: Callable[..., Settings], params: Params) -> None:
        settings = make()
        changed = params.model_copy(update={"extract": params.extract.model_copy(update={"crop_scale": 1.3})})
        with pytest.raises(DataError, match=r"crop_scale 1\.0 .*1\.3"):
            train.run(changed, settings=settings)

    def test_a_second_training_at_once(self, make: Callable[..., Settings], params: Params) -> None:
        settings = make()
        with (
            exclusive(settings.work_dir / "train.lock", doing="training"),
            pytest.raises(DataError, match="another process is training in this workspace; wait"),
        ):
            train.run(params, settings=settings)


@pytest.mark.parametrize(("num_workers", "num_threads"), [(0, os.cpu_count()), (1000, 1)])
def test_computing_leaves_the_cores_of_the_workers(
    make: Callable[..., Settings], params: Params, num_workers: int, num_threads: int
) -> None:
    """Whichever command trains: train, ablate or search."""
    chosen = _changed(params, "samples", num_workers=num_workers)
    settings = make()
    table, context = read_usable_crops(settings.artifacts_dir), DistributedContext(device=torch.device("cpu"))
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    try:
        with open_job(
            table,
            chosen.train,
            CropFolders(extract_dir=settings.extract_dir, faces_dir=settings.faces_dir),
            extraction=chosen.extract.spec,
            seed=chosen.seed,
            context=context,
            digest="d",
        ):
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)


def _accept_all(settings: Settings) -> None:
    """Stand in for the gate, which refuses a set of one face before training could."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = settings.artifacts_dir / "validate"
    folder.mkdir()
    pq.write_table(pa.table({"crop_id": pa.array([], pa.string())}), folder / "quarantined.parquet")


@pytest.mark.slow
class TestRun:
    def test_artifacts_and_run_are_complete(
        self, make: Callable[..., Settings], params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = make()
        trigger = Trigger(occasion="drift", reason="p_fake drifted", claim="c1", flow_run_id="f1")
        for name, value in trigger.variables().items():
            monkeypatch.setenv(name, value)
        report = train.run(params, settings=settings)
        assert report is not None
        assert "validation AUC" in report.describe()
        self._check_folder(settings, report)
        self._check_run(settings, report)
        assert _leftovers(settings) == []
        assert not any((settings.work_dir / "checkpoints").iterdir())
        assert [path.suffix for path in (settings.work_dir / "faces").iterdir()] == [".lock"]

    def _check_folder(self, settings: Settings, report: train.TrainReport) -> None:
        folder = settings.train_dir
        assert sorted(path.name for path in folder.iterdir()) == [
            "history.json",
            "model.onnx",
            "model.safetensors",
            "run.json",
            "spec.json",
        ]
        assert json.loads((folder / "run.json").read_text())["run_id"] == report.run_id
        history = json.loads((folder / "history.json").read_text())
        assert len(history) == report.num_epochs == 2
        assert report.best["val_auc"] == max(epoch["val_auc"] for epoch in history)
        assert np.isfinite(open_scorer(folder).logits(np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8))).all()

    def _check_run(self, settings: Settings, report: train.TrainReport) -> None:
        client = _client(settings)
        run = client.get_run(report.run_id)
        assert run.info.status == "FINISHED"
        assert trigger_of(run.data.tags) == read_trigger()
        assert run.data.tags["trigger_claim"] == "c1"
        assert run.data.tags["code_sha256"] == own_code().sha256
        assert run.data.params["train.network.backbone"] == "test_efficientnet"
        assert run.data.params["extract.crop_size_px"] == "64"
        last = json.loads((settings.train_dir / "history.json").read_text())[-1]
        assert run.data.metrics["val_auc"] == pytest.approx(last["val_auc"])
        assert [m.step for m in client.get_metric_history(report.run_id, "train_loss")] == [0, 1]
        inputs = {data.dataset.name: data.dataset.digest for data in run.inputs.dataset_inputs}
        assert set(inputs) == {"faces-train", "faces-val"}
        assert all(inputs.values())
        (example,) = client.list_artifacts(report.run_id, "examples")
        local = client.download_artifacts(report.run_id, example.path, str(settings.work_dir))
        assert cv2.imread(local) is not None
        logged = {Path(entry.path).name for entry in client.list_artifacts(report.run_id, "model_files")}
        assert logged == {path.name for path in settings.train_dir.iterdir()}

    def test_a_killed_training_leaves_the_old_model_and_goes_on(
        self, make: Callable[..., Settings], params: Params, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = make()
        folder = settings.artifacts_dir / "train"
        folder.mkdir()
        (folder / "old").write_text("kept until the new one is whole")

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(train, "save_model", die)
        with pytest.raises(KeyboardInterrupt):
            train.run(params, settings=settings)
        monkeypatch.undo()
        assert [path.name for path in folder.iterdir()] == ["old"]
        experiment = _client(settings).get_experiment_by_name(settings.experiment)
        assert experiment is not None
        (killed,) = _client(settings).search_runs([experiment.experiment_id], max_results=5)
        assert killed.info.status == "KILLED"
        trained = [m.value for m in _client(settings).get_metric_history(killed.info.run_id, "train_loss")]

        report = train.run(params, settings=settings)
        assert report is not None
        assert not (folder / "old").exists()
        history = json.loads((folder / "history.json").read_text())
        assert [epoch["train_loss"] for epoch in history] == pytest.approx(trained)
        steps = _client(settings).get_metric_history(report.run_id, "train_loss")
        assert [metric.step for metric in steps] == [0, 1]
        assert _leftovers(settings) == []


@pytest.mark.slow
def test_trials_are_child_runs(make: Callable[..., Settings], params: Params) -> None:
    settings = make()
    quick = _changed(params, "optimisation", epochs=1)
    report = search.run(quick, settings=settings, num_trials=1)
    assert report.result.num_finished == 1
    fragment = yaml.safe_load(report.describe().split("params.yaml:\n")[1])
    params.train.changed(fragment["train"])
    client = _client(settings)
    runs = client.search_runs([client.get_run(report.run_id).info.experiment_id], max_results=5)
    (child,) = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == report.run_id]
    assert child.info.status == "FINISHED"
    assert child.data.metrics["val_auc"] == pytest.approx(report.result.best_auc)
    assert not (settings.artifacts_dir / "train").exists()


class TestAblate:
    def test_unknown_configuration(self, make: Callable[..., Settings], params: Params) -> None:
        with pytest.raises(ParamsError, match=r"^--only: .*'gray'.*as configured"):
            ablate.run(params, settings=Settings(), only=["gray"])

    def test_every_configuration_is_valid(self, params: Params) -> None:
        chosen = {name: params.train.changed(changes) for name, changes in ablate.CONFIGURATIONS.items()}
        assert {c.network.variant for c in chosen.values()} == {"rgb", "srm", "stacked", "dual", "ensemble"}
        assert {c.network.global_pool for c in chosen.values()} == {"avg", "gwap"}
        assert chosen["without coding"].extra.augment_without == ("coding",)

    @pytest.mark.slow
    def test_what_cannot_be_trained_is_left_out(self, make: Callable[..., Settings], params: Params) -> None:
        """Version 0 knows larger crops than these, which is no reason to lose the other rows."""
        settings = make()
        quick = _changed(params, "optimisation", epochs=1)
        report = ablate.run(quick, settings=settings, only=["as configured", "distilled from version 0"])
        assert list(report.rows) == ["as configured"]
        assert "crop_size_px 224" in report.left_out["distilled from version 0"]
        with pytest.raises(ParamsError, match=r"train\.extra\.distill\.teacher"):
            ablate.run(quick, settings=settings, only=["distilled from version 0"])

    @pytest.mark.slow
    def test_each_is_trained_once(self, make: Callable[..., Settings], params: Params) -> None:
        settings = make()
        quick = _changed(params, "optimisation", epochs=1)
        first = ablate.run(quick, settings=settings, only=["as configured", "stacked"])
        kept = list((settings.work_dir / "ablation").iterdir())
        assert [path.suffix for path in kept] == [".json"]  # both are the same training
        row = first.rows["stacked"]
        value, low, high = row.auc["dataset"]
        assert low is None or high is None or low <= value <= high
        assert row.ms_per_face > 0
        assert row.parameters > 10_000
        assert first.differences["stacked"]["dataset"].delta == 0
        again = ablate.run(quick, settings=settings, only=["as configured", "stacked"])
        assert again.rows == first.rows
