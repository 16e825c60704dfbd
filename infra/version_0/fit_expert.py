"""Fit the accurate detector of a model folder to scored files: standardisation, calibration, thresholds.

`python infra/version_0/fit_expert.py TABLE FOLDER SHARE`. TABLE is a CSV file with a row for each file and
the columns source, label, kind, network_logit, tower_logit and is_fitted. SHARE is the network's part in the
fused logit. `kind` is the kind of forgery of a clip by a method that was not trained on, and empty for all
other files. Files whose `is_fitted` is False are only counted by kind. Sources weigh alike. The inconclusive
band of the fast detector is moved by the same rule.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.calibration import fit_platt, operating_points
from deepfakestream.model.spec import (
    CalibrationSpec,
    ExpertSpec,
    KindRate,
    OperatingPoint,
    Standardisation,
    read_spec,
    write_spec,
)
from deepfakestream.model.tower.sources import TOWER_NAME

MIN_REALS = 50
WIDE_SCALE = 1.16
MAX_FACES = 8
TUNED_ON = (
    "self-blends, swaps and changed mouths of genuine faces: DFDC face crops (research terms), FFHQ "
    "portraits (CC BY-NC-SA 4.0), LFW portraits (academic), genuine clips of public project pages; then with "
    "a share of forged faces of DFDC and of such pages"
)


def main(table: Path, folder: Path, share: float) -> None:
    """Write the section `expert` and the fast detector's points into the folder's spec."""
    files = pd.read_csv(table)
    spec = read_spec(folder)
    fitted = files[files["is_fitted"]]
    network, tower = _standardised(fitted, "network_logit"), _standardised(fitted, "tower_logit")
    files["fused_logit"] = share * (files["network_logit"] - network.mean) / network.std
    files["fused_logit"] += (1.0 - share) * (files["tower_logit"] - tower.mean) / tower.std
    calibration = _calibrated(files[files["is_fitted"]])
    expert = ExpertSpec(
        tower=TOWER_NAME,
        wide_scale=WIDE_SCALE,
        max_faces=MAX_FACES,
        network_weight=share,
        network_logits=network,
        tower_logits=tower,
        calibration=calibration,
        operating_points=_points(files, "fused_logit", calibration),
        tuned_on=TUNED_ON,
    )
    fast = _points(files, "network_logit", spec.calibration)
    points = {
        name: _with_kinds(point, files, "network_logit", spec.calibration).model_copy(
            update={
                "inconclusive_from": min(
                    point.threshold, max(point.inconclusive_from, fast[name].inconclusive_from)
                )
            }
        )
        for name, point in spec.operating_points.items()
    }
    write_spec(spec.model_copy(update={"expert": expert, "operating_points": points}), folder)


def _standardised(files: pd.DataFrame, column: str) -> Standardisation:
    """Return mean and standard deviation of a column, the means over the sources."""
    by_source = files.groupby("source")[column]
    return Standardisation(mean=float(by_source.mean().mean()), std=float(by_source.std().mean()))


def _calibrated(fitted: pd.DataFrame) -> CalibrationSpec:
    """Return a Platt scaling to which each source and label weighs alike: smaller ones are repeated."""
    sizes = fitted.groupby(["source", "label"])["label"].transform("size")
    repeats = (sizes.max() / sizes).round().astype(int).to_numpy()
    logits, is_fake = fitted["fused_logit"].to_numpy(np.float64), (fitted["label"] == "fake").to_numpy()
    return fit_platt(np.repeat(logits, repeats), np.repeat(is_fake, repeats))


def _points(files: pd.DataFrame, column: str, calibration: CalibrationSpec) -> dict[str, OperatingPoint]:
    """Return the operating points of a detector whose logits are in the column."""
    fitted = files[files["is_fitted"]]
    is_fake = (fitted["label"] == "fake").to_numpy()
    sources = ", ".join(sorted(fitted["source"].unique()))
    num_fake = int(is_fake.sum())
    points = operating_points(
        fitted[column].to_numpy(np.float64),
        is_fake,
        calibration,
        measured_on=f"validation: {len(fitted) - num_fake} real and {num_fake} fake files of {sources}",
        conditions=fitted["source"].to_numpy(str),
        min_reals=MIN_REALS,
    )
    return {name: _with_kinds(point, files, column, calibration) for name, point in points.items()}


def _with_kinds(
    point: OperatingPoint, files: pd.DataFrame, column: str, calibration: CalibrationSpec
) -> OperatingPoint:
    """Return the point with how many forged clips of each kind reach it."""
    rates = {}
    for kind, clips in files.groupby("kind"):
        scores = calibrate(clips[column].to_numpy(np.float64), calibration)
        rates[str(kind)] = KindRate(clips=len(clips), reached=int((scores >= point.threshold).sum()))
    return point.model_copy(update={"by_kind": rates})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
