"""Fit the accurate detector of a model folder to scored files: standardisation, calibration, thresholds.

`python infra/version_0/fit_expert.py TABLE FOLDER SHARE`, where TABLE is a CSV file with a row for each file
(source, label, network_logit, tower_logit) and SHARE the network's part in the fused logit. Sources weigh
alike. The inconclusive band of the fast detector is moved by the same rule.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from deepfakestream.arrays import FloatArray
from deepfakestream.model.calibration import fit_platt, operating_points
from deepfakestream.model.spec import (
    CalibrationSpec,
    ExpertSpec,
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
    "portraits (CC BY-NC-SA 4.0), LFW portraits (academic), genuine clips of public project pages; no "
    "dataset fakes"
)


def main(table: Path, folder: Path, share: float) -> None:
    """Write the section `expert` and the fast detector's points into the folder's spec."""
    files = pd.read_csv(table)
    spec = read_spec(folder)
    network, tower = _standardised(files, "network_logit"), _standardised(files, "tower_logit")
    logits = {name: files[f"{name}_logit"].to_numpy(np.float64) for name in ("network", "tower")}
    fused = share * (logits["network"] - network.mean) / network.std
    fused += (1.0 - share) * (logits["tower"] - tower.mean) / tower.std
    calibration = _calibrated(files, fused)
    expert = ExpertSpec(
        tower=TOWER_NAME,
        wide_scale=WIDE_SCALE,
        max_faces=MAX_FACES,
        network_weight=share,
        network_logits=network,
        tower_logits=tower,
        calibration=calibration,
        operating_points=_points(files, fused, calibration),
        tuned_on=TUNED_ON,
    )
    fast = _points(files, logits["network"], spec.calibration)
    points = {
        name: point.model_copy(
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


def _calibrated(files: pd.DataFrame, logits: FloatArray) -> CalibrationSpec:
    """Return a Platt scaling to which each source and label weighs alike: smaller ones are repeated."""
    sizes = files.groupby(["source", "label"])["label"].transform("size")
    repeats = (sizes.max() / sizes).round().astype(int).to_numpy()
    return fit_platt(np.repeat(logits, repeats), np.repeat((files["label"] == "fake").to_numpy(), repeats))


def _points(
    files: pd.DataFrame, logits: FloatArray, calibration: CalibrationSpec
) -> dict[str, OperatingPoint]:
    is_fake = (files["label"] == "fake").to_numpy()
    sources = ", ".join(sorted(files["source"].unique()))
    num_fake = int(is_fake.sum())
    return operating_points(
        logits,
        is_fake,
        calibration,
        measured_on=f"validation: {len(files) - num_fake} real and {num_fake} fake files of {sources}",
        conditions=files["source"].to_numpy(str),
        min_reals=MIN_REALS,
    )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
