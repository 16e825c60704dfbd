from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.errors import DataError, ServerError, WeightsError
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.model.aggregation import aggregate
from deepfakestream.model.scorer import open_scorer
from deepfakestream.pipeline import evaluate
from deepfakestream.registry.tracking import start_run
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

Make = Callable[..., Settings]
PARAMS = EvaluateParams(num_bootstrap=50, robustness_faces=0)


def _change_spec(directory: Path, **extraction: object) -> None:
    path = directory / "spec.json"
    spec = json.loads(path.read_text())
    spec["extraction"] |= extraction
    path.write_text(json.dumps(spec))


def test_no_manifest(make_workspace: Make) -> None:
    settings = make_workspace()
    (settings.data_dir / "manifest.parquet").unlink()
    with pytest.raises(DataError, match=r"manifest\.parquet: missing"):
        evaluate.run(PARAMS, settings=settings)
    assert not (settings.artifacts_dir / "evaluate").exists()


def test_no_test_items(make_workspace: Make) -> None:
    settings = make_workspace()
    path = settings.data_dir / "manifest.parquet"
    pd.read_parquet(path).assign(split="train").to_parquet(path)
    with pytest.raises(DataError, match=r"80 items .*test"):
        evaluate.run(PARAMS, settings=settings)


def test_no_model(make_workspace: Make) -> None:
    settings = make_workspace()
    (settings.artifacts_dir / "train" / "model.onnx").unlink()
    with pytest.raises(WeightsError, match=r"model\.onnx: missing"):
        evaluate.run(PARAMS, settings=settings)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("run.json", b'{"run_id": "a', "damaged"),
        ("run.json", b"[]", "no dict"),
        ("history.json", b"\xff", "damaged"),
    ],
)
def test_a_damaged_file_of_the_training_is_named(
    make_workspace: Make, name: str, content: bytes, words: str
) -> None:
    settings = make_workspace()
    (settings.train_dir / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name}: .*{words}.*; run 'dvc repro --force train'"):
        evaluate.run(PARAMS, settings=settings)


def test_crops_of_other_extraction_are_refused(make_workspace: Make) -> None:
    settings = make_workspace()
    _change_spec(settings.artifacts_dir / "train", crop_scale=1.3)
    with pytest.raises(DataError, match=r"crop_scale 1\.0 instead of 1\.3"):
        evaluate.run(PARAMS, settings=settings)


def test_server_down_names_address_and_leaves_nothing(make_workspace: Make) -> None:
    settings = make_workspace().model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:9: .*start it"):
        evaluate.run(PARAMS, settings=settings)
    assert not (settings.artifacts_dir / "evaluate").exists()


def test_outputs(make_workspace: Make) -> None:
    settings = make_workspace(num_without_face=4)
    report = evaluate.run(PARAMS, settings=settings)
    directory = settings.artifacts_dir / "evaluate"
    assert sorted(path.name for path in directory.iterdir()) == [
        "MODEL_CARD.md",
        "faces.parquet",
        "metrics.json",
        "plots",
        "reference.parquet",
        "report.html",
        "scores.parquet",
        "summary.json",
    ]
    summary = json.loads((directory / "summary.json").read_text())
    assert len(summary) == 12
    assert summary["auc"] == pytest.approx(report.metrics["auc"].value, abs=1e-4)
    scores = pd.read_parquet(directory / "scores.parquet")
    reference = pd.read_parquet(directory / "reference.parquet")
    found = json.loads((directory / "metrics.json").read_text())
    assert list(reference.columns) == ["p_fake", *FEATURE_NAMES, "embedding", "group"]
    measured = reference.columns[reference.notna().any()].tolist()
    assert measured == ["p_fake", "luma", "group"]  # the items are crops
    assert reference["group"].nunique() == 20
    assert len(scores) == len(reference) == 40
    assert int(scores["p_fake"].isna().sum()) == 2
    assert found["metrics"]["share_not_applicable"] == pytest.approx(0.05)
    assert found["metrics"]["n"] == 38
    assert report.metrics["auc"].value is not None
    assert 0.75 < report.metrics["auc"].value < 1.0
    assert "AUC 0." in report.describe()
    assert found["face_metrics"]["unit"] == "face"
    assert found["face_metrics"]["n"] == len(pd.read_parquet(directory / "faces.parquet")) == 76
    assert found["robustness"]["status"] == "off"
    page = (directory / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6  # robustness is off
    assert "http" not in page.replace("http-equiv", "")


def test_scores_are_those_of_model_and_aggregation(make_workspace: Make) -> None:
    settings = make_workspace()
    evaluate.run(PARAMS, settings=settings)
    scores = pd.read_parquet(settings.artifacts_dir / "evaluate" / "scores.parquet")
    scorer = open_scorer(settings.artifacts_dir / "train", device="cpu")
    row = scores.iloc[5]
    # Two crops of one track: their mean logit decides.
    mean_level = 128 + 32 * row["logit"]
    assert row["luma"] == pytest.approx(mean_level, abs=1e-3)
    logits = pd.Series([row["logit"]]).to_numpy()
    assert row["p_fake"] == pytest.approx(aggregate(logits, logits.astype(int) * 0, scorer.spec).p_fake)


@pytest.mark.slow
def test_same_input_gives_the_same_bytes(make_workspace: Make) -> None:
    settings = make_workspace()
    train = settings.artifacts_dir / "train"
    with start_run(mlflow_store(settings), name="train", tags={}) as run:
        (train / "run.json").write_text(json.dumps({"run_id": run.run_id}))
    contents = []
    for _ in range(2):
        evaluate.run(PARAMS, settings=settings)
        files = sorted((settings.artifacts_dir / "evaluate").rglob("*.*"))
        contents.append({path.name: path.read_bytes() for path in files if path.is_file()})
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_logs_to_the_run_that_trained(make_workspace: Make) -> None:
    from deepfakestream.registry.store import open_client

    settings = make_workspace()
    with start_run(mlflow_store(settings), name="train", tags={}) as run:
        run.log_metrics({"val_auc": 0.8})
    (settings.artifacts_dir / "train" / "run.json").write_text(json.dumps({"run_id": run.run_id}))
    report = evaluate.run(PARAMS, settings=settings)
    logged = open_client(mlflow_store(settings)).get_run(run.run_id).data.metrics
    assert report.run_id == run.run_id
    assert logged["val_auc"] == 0.8
    assert logged["test_auc"] == pytest.approx(report.metrics["auc"].value)
    assert logged["test_auc_low"] <= logged["test_auc"] <= logged["test_auc_high"]


@pytest.mark.slow
def test_unknown_run_is_continued_by_a_new_one(make_workspace: Make) -> None:
    from deepfakestream.registry.store import open_client

    settings = make_workspace()
    report = evaluate.run(PARAMS, settings=settings)
    tags = open_client(mlflow_store(settings)).get_run(report.run_id).data.tags
    assert tags["continues_run"] == "unknown-run"
    assert json.loads((report.directory / "metrics.json").read_text())["run_id"] == report.run_id


class TestVal:
    def test_is_measured_apart_and_said_to_be_optimistic(self, make_workspace: Make) -> None:
        settings = make_workspace()
        path = settings.data_dir / "manifest.parquet"
        manifest = pd.read_parquet(path)
        manifest.assign(split=manifest["split"].replace("train", "val")).to_parquet(path)
        report = evaluate.run(PARAMS, settings=settings, split="val")
        assert report.directory == settings.work_dir / "evaluate-val"
        assert not (settings.artifacts_dir / "evaluate").exists()
        assert "these numbers are optimistic" in (report.directory / "report.html").read_text()
        assert "these numbers are optimistic" in report.describe()

    def test_other_splits_are_refused(self, make_workspace: Make) -> None:
        with pytest.raises(DataError, match=r"'train' .*test or val"):
            evaluate.run(PARAMS, settings=make_workspace(), split="train")


@pytest.mark.slow
def test_robustness_of_crops_in_the_store(make_workspace: Make) -> None:
    """Every ladder runs, even on crops of 8 pixels."""
    settings = make_workspace()
    report = evaluate.run(PARAMS.model_copy(update={"robustness_faces": 20}), settings=settings)
    assert report.robustness.status == "ok"
    assert (report.robustness.n_real, report.robustness.n_fake) == (10, 10)
    assert "Robustness of single faces" in (report.directory / "report.html").read_text()


@pytest.mark.slow
def test_the_card_says_what_it_is_made_of_and_how_good(make_workspace: Make) -> None:
    settings = make_workspace()
    path = settings.artifacts_dir / "train" / "spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "trained_on": "made-up, started from X (research terms) weights"}))
    report = evaluate.run(PARAMS, settings=settings)
    card = (report.directory / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# How good the detector is on files it never saw\n\nAt its threshold")
    assert "- made-up: none\n" in card
    assert "inherit the terms of all that they were trained on: made-up, started from X (research" in card
    assert f"| AUC | {report.metrics['auc']} |" in card
    (point, *_) = report.points
    assert f"| {point.name} | {point.threshold:.3f} | {point.fpr} | {point.tpr} |" in card
    for caveat in report.caveats:
        assert f"- {caveat}\n" in card
