"""What DVC shows of an evaluation: a few numbers for `dvc metrics`, curves for `dvc plots`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from deepfakestream.evaluation.curves import mass_bins, roc_curve
from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.evaluation.slices import Slice, worst_slices

SUMMARY_FILE = "summary.json"
ROC_FILE, RELIABILITY_FILE = "roc.csv", "reliability.csv"
NUM_ROC_POINTS = 200
_SHOWN = ("auc", "auc_low", "auc_high", "eer", "tpr", "fpr", "brier", "ece", "n", "share_not_applicable")


def write_dvc_files(
    directory: Path,
    *,
    metrics: Metrics,
    face_metrics: Metrics,
    slices: tuple[Slice, ...],
    scores: pd.DataFrame,
) -> None:
    """Write `summary.json`, `plots/roc.csv` and `plots/reliability.csv`.

    Args:
        directory: of the evaluation; it has a folder `plots`.
        metrics: over files.
        face_metrics: over single faces.
        slices: of the files.
        scores: one row a file: `label`, `p_fake` (NaN without a score).
    """
    worst = worst_slices(slices, limit=1)
    numbers = {name: metrics.scalars("")[name] for name in _SHOWN}
    numbers |= {
        "face_auc": face_metrics.scalars("")["auc"],
        "worst_slice_auc": worst[0].auc.value if worst else None,
    }
    rounded = {name: None if value is None else round(value, 4) for name, value in numbers.items()}
    (directory / SUMMARY_FILE).write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    scored = scores[scores["p_fake"].notna()]
    is_fake, p_fake = (scored["label"] == "fake").to_numpy(), scored["p_fake"].to_numpy(float)
    curve = roc_curve(is_fake, p_fake)
    roc = pd.DataFrame({"fpr": [], "tpr": []})
    if curve is not None:
        fpr = np.linspace(0.0, 1.0, NUM_ROC_POINTS)
        roc = pd.DataFrame({"fpr": fpr, "tpr": np.interp(fpr, curve.fpr, curve.tpr)})
    roc.round(4).to_csv(directory / "plots" / ROC_FILE, index=False)
    table = pd.DataFrame({"bin": mass_bins(p_fake), "p_fake": p_fake, "share_fake": is_fake.astype(float)})
    by_bin = table.groupby("bin").agg(
        p_fake=("p_fake", "mean"), share_fake=("share_fake", "mean"), n=("p_fake", "size")
    )
    by_bin.round(4).to_csv(directory / "plots" / RELIABILITY_FILE, index=False)
