"""`dvc metrics` and `dvc plots` in a workspace, by the graph that a new workspace gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfakestream.evaluation.curves import roc_curve
from deepfakestream.evaluation.dvc_files import write_dvc_files
from deepfakestream.evaluation.metrics import measure
from deepfakestream.pipeline import workspace


def table(n: int = 200, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    is_fake = np.arange(n) % 2 == 0
    p_fake = np.clip(rng.normal(0.4 + 0.2 * is_fake, 0.15), 0.01, 0.99)
    return pd.DataFrame(
        {
            "media_id": [f"m{i}" for i in range(n)],
            "group_id": [f"g{i // 4}" for i in range(n)],
            "label": np.where(is_fake, "fake", "real"),
            "p_fake": np.where(np.arange(n) == 7, np.nan, p_fake),
        }
    )


def write(directory: Path, scores: pd.DataFrame) -> None:
    (directory / "plots").mkdir(parents=True)
    metrics = measure(scores, num_bootstrap=20, seed=0)
    write_dvc_files(directory, metrics=metrics, face_metrics=metrics, slices=(), scores=scores)


def test_the_curves_are_those_of_the_scored_files(tmp_path: Path) -> None:
    scores = table()
    write(tmp_path, scores)
    scored = scores.dropna()
    curve = roc_curve((scored["label"] == "fake").to_numpy(), scored["p_fake"].to_numpy(float))
    assert curve is not None
    roc = pd.read_csv(tmp_path / "plots" / "roc.csv")
    assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(curve.auc, abs=0.005)
    assert (roc["fpr"].iloc[0], roc["fpr"].iloc[-1], roc["tpr"].iloc[-1]) == (0.0, 1.0, 1.0)
    bins = pd.read_csv(tmp_path / "plots" / "reliability.csv")
    assert bins["n"].sum() == 199
    assert (bins["share_fake"] * bins["n"]).sum() == pytest.approx((scored["label"] == "fake").sum(), abs=0.1)
    assert bins["p_fake"].is_monotonic_increasing


def test_files_of_one_class_have_figures_and_no_curve(tmp_path: Path) -> None:
    scores = table()
    write(tmp_path, scores[scores["label"] == "fake"])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["auc"], summary["n"]) == (None, 100)
    assert pd.read_csv(tmp_path / "plots" / "roc.csv").empty
    assert len(pd.read_csv(tmp_path / "plots" / "reliability.csv")) == 10


@pytest.mark.slow
def test_dvc_shows_a_dozen_figures_and_draws_every_curve(tmp_path: Path) -> None:
    root = workspace.create(tmp_path / "ws").directory
    write(root / "artifacts" / "evaluate", table())
    (root / "artifacts" / "train").mkdir()
    history = [{"train_loss": 0.7, "val_auc": 0.6}, {"train_loss": 0.5, "val_auc": 0.8}]
    (root / "artifacts" / "train" / "history.json").write_text(json.dumps(history))

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout

    (shown,) = json.loads(dvc("metrics", "show", "--json")).values()
    (figures,) = shown["data"].values()
    assert len(figures["data"]) == 11  # and the worst slice, where there is one
    assert {"auc", "face_auc", "tpr", "fpr"} <= set(figures["data"])
    drawn = json.loads(dvc("plots", "show", "--json"))
    assert drawn.get("errors", []) == []
    assert set(drawn["data"]) == {"ROC", "reliability", "training loss", "validation AUC"}
    assert dvc("plots", "show", "--out", "page").strip().endswith("index.html")
    page = (root / "page" / "index.html").read_text(encoding="utf-8")
    for title in ("ROC on the test split", "Reliability on the test split", "Loss by epoch"):
        assert title in page
