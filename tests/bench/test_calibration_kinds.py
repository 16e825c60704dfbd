"""Which calibration fits? Cross-validated log-loss and ECE of temperature, Platt and isotonic.

`python -m pytest tests/bench/test_calibration_kinds.py -m bench -s`; needs the optional development
data, whose validation crops the packaged model scores.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression

from deepfakestream.evaluation.curves import calibration_error
from deepfakestream.faces.crop import resize_square
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.calibration import fit_platt, fit_temperature
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import open_scorer
from deepfakestream.model.selection import choose_calibration

DFDC = Path(__file__).parents[3] / "shared" / "data" / "dfdc-faces"
NUM_FOLDS = 5


def _logits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scorer = open_scorer(packaged_model_dir(), device="cpu")
    size_px = scorer.spec.extraction.crop_size_px
    table = pd.read_csv(DFDC / "manifest.csv")
    table = table[table["split"] == "val"]
    images = {}
    for shard, rows in table.groupby("shard"):
        with tarfile.open(DFDC / str(shard)) as tar:
            for file in rows["file"]:
                member = tar.extractfile(file)
                assert member is not None
                bgr = cv2.imdecode(np.frombuffer(member.read(), np.uint8), cv2.IMREAD_COLOR)
                images[file] = resize_square(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), size_px)
    crops = np.stack([images[file] for file in table["file"]])
    is_fake = (table["label"] == "fake").to_numpy()
    return scorer.logits(crops).astype(np.float64), is_fake, table["group_id"].to_numpy()


def _out_of_fold(kind: str, logits: np.ndarray, is_fake: np.ndarray, folds: np.ndarray) -> np.ndarray:
    p_fake = np.empty(len(logits))
    for fold in range(NUM_FOLDS):
        train, test = folds != fold, folds == fold
        if kind == "isotonic":
            model = IsotonicRegression(y_min=0.001, y_max=0.999, out_of_bounds="clip")
            p_fake[test] = model.fit(logits[train], is_fake[train]).predict(logits[test])
        else:
            fit = fit_platt if kind == "platt" else fit_temperature
            p_fake[test] = calibrate(logits[test], fit(logits[train], is_fake[train]))
    return p_fake


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DFDC.is_dir(), reason="needs the optional development data")
def test_kinds_of_calibration() -> None:
    logits, is_fake, groups = _logits()
    _, codes = np.unique(groups, return_inverse=True)
    folds = np.random.default_rng(0).permutation(codes.max() + 1)[codes] % NUM_FOLDS
    lines = [
        f"\n{int((~is_fake).sum())} real and {int(is_fake.sum())} fake faces, {NUM_FOLDS} folds by group"
    ]
    losses = {}
    for kind in ("temperature", "platt", "isotonic"):
        p_fake = _out_of_fold(kind, logits, is_fake, folds)
        losses[kind] = float(-np.log(np.where(is_fake, p_fake, 1 - p_fake)).mean())
        ece, ties = calibration_error(is_fake, p_fake), 1 - len(np.unique(p_fake)) / len(p_fake)
        lines.append(f"{kind:>12}: log-loss {losses[kind]:.4f}, ECE {ece:.4f}, tied scores {ties:.0%}")
    lines.append(f"chosen by the project's rule: {choose_calibration(logits, is_fake).method}")
    sys.stdout.write("\n".join(lines) + "\n")
    assert max(losses.values()) < np.log(2)
