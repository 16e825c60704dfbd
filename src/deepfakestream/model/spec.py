"""The detector's spec: everything besides weights that decides a score, saved as `spec.json` beside them.

Evaluate, scan and serve read preprocessing, aggregation, calibration and operating points from here alone,
so that they cannot disagree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from deepfakestream.errors import WeightsError
from deepfakestream.faces.types import ExtractionSpec

SPEC_FILE = "spec.json"
Variant = Literal["rgb", "srm", "stacked", "dual", "ensemble"]
"""What the network sees, and through how many backbones."""


class Spec(BaseModel):
    """Base of the spec's parts: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NetworkSpec(Spec):
    """How to rebuild the network around the weights."""

    variant: Variant
    backbone: str
    pooling: Literal["avg", "gwap"]
    srm_learnable: bool
    dropout: float
    drop_path: float = 0.0
    """How often training skipped the last residual block; scoring never skips."""
    mirrored: bool = False
    """Whether a face is scored as the mean of itself and its mirror image; training sees one at a time."""


class NormalisationSpec(Spec):
    """Channel statistics, on a 0-1 scale, RGB order."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class AggregationSpec(Spec):
    """From face logits to one logit a file: over the frames of a track, then over tracks."""

    frames: Literal["mean", "trimmed_mean", "median", "confident", "learned"]
    """`confident` is the mean over the half of the frames farthest from even odds; `learned` a weighted mean
    of equally spaced quantiles."""
    tracks: Literal["max"]
    """One forged person makes a forged file."""
    min_track_frames: int
    """Tracks with fewer scored frames are reported but decide nothing, unless there is no other."""
    quantile_weights: tuple[float, ...] | None = None
    """Of `learned`: weights of the quantiles from lowest to highest frame, none negative, adding up to 1."""
    chosen_by: str = ""
    """How it was chosen, in words; empty where nobody chose."""

    @model_validator(mode="after")
    def _weights_belong_to_learned(self) -> Self:
        weights = self.quantile_weights
        if (self.frames == "learned") != (weights is not None):
            raise ValueError("quantile_weights belong to frames 'learned' and to nothing else")
        if weights is not None and (len(weights) < 2 or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6):
            raise ValueError("quantile_weights need two or more numbers, none negative, adding up to 1")
        return self


class CalibrationSpec(Spec):
    """Scaling of the file's logit: `p_fake = sigmoid(slope * logit + intercept)`."""

    slope: float
    intercept: float
    method: Literal["platt", "temperature"] = "platt"
    """`temperature` has intercept 0."""


class OperatingPoint(Spec):
    """A threshold with its meaning."""

    threshold: float
    """p_fake from which the verdict is likely_fake."""
    inconclusive_from: float
    """p_fake from which the verdict is inconclusive; below it is likely_real."""
    fpr: float | None
    """Measured share of reals at or above the threshold."""
    tpr: float | None
    """Measured share of fakes at or above the threshold."""
    measured_on: str
    """Data, split and number of files the rates were measured on."""


class DetectorSpec(Spec):
    """Everything besides weights that decides a verdict."""

    schema_version: Literal[1] = 1
    network: NetworkSpec
    normalisation: NormalisationSpec
    extraction: ExtractionSpec
    aggregation: AggregationSpec
    calibration: CalibrationSpec
    operating_points: dict[str, OperatingPoint]
    trained_on: str
    """Data, and what its terms ask of a user of the weights."""


def write_spec(spec: DetectorSpec, directory: Path) -> Path:
    """Write `spec.json` into the directory and return its path."""
    path = directory / SPEC_FILE
    path.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def read_spec(directory: Path) -> DetectorSpec:
    """Return the spec beside a model's weights.

    Raises:
        WeightsError: the file is missing or does not describe a detector of this schema.
    """
    path = directory / SPEC_FILE
    try:
        return DetectorSpec.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: missing; a model folder holds model.safetensors and spec.json"
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"{path}: not a detector spec of schema 1 ({error}); export the model again"
        ) from error
