"""The detector's spec: everything besides weights that decides a score, saved as `spec.json` next to them.

Evaluate, scan and serve read preprocessing, aggregation, calibration and operating points from here alone,
so that they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from deepfakestream.errors import WeightsError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.frozen import Strict

SPEC_FILE = "spec.json"
Variant = Literal["rgb", "srm", "stacked", "dual", "ensemble", "tower"]
"""What the network sees, and through how many backbones; of a `tower` only the layer norms are tuned."""


_EARLIER_NAMES = {"pooling": "global_pool", "dropout": "drop_rate", "mirrored": "flip_tta"}
"""Fields of `NetworkSpec` in models that were exported by earlier releases."""


class NetworkSpec(Strict):
    """How to rebuild the network around the weights."""

    variant: Variant
    backbone: str
    global_pool: Literal["avg", "gwap"]
    drop_rate: float
    drop_path: float = 0.0
    """How often training skipped the last residual block; scoring never skips."""
    flip_tta: bool = False
    """Whether a face's score is the mean of its own and its mirror image's; training sees one at a time."""

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_names(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        # Whether training might move the kernels decides no score: they are saved with the weights.
        return {
            _EARLIER_NAMES.get(name, name): value
            for name, value in content.items()
            if name != "srm_learnable"
        }


class NormalisationSpec(Strict):
    """Channel statistics, on a 0-1 scale, RGB order."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class AggregationSpec(Strict):
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


class CalibrationSpec(Strict):
    """Scaling of the file's logit: `p_fake = sigmoid(slope * logit + intercept)`."""

    slope: float
    intercept: float
    method: Literal["platt", "temperature"] = "platt"
    """`temperature` has intercept 0."""


class KindRate(Strict):
    """How many forged clips of one kind reach a threshold; none of their methods was trained on."""

    clips: int
    """Clips of this kind that were scored."""
    reached: int
    """Of these, clips that score at or above the threshold."""


class OperatingPoint(Strict):
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
    by_kind: dict[str, KindRate] = Field(default_factory=dict)
    """The same by kind of forgery (swap, lip-sync, ...); empty where it was not measured."""


class Standardisation(Strict):
    """Mean and standard deviation of a model's logits over genuine and forged clips alike."""

    mean: float
    std: float


class ExpertSpec(Strict):
    """A tuned image tower next to the network; both together are the accurate detector.

    A face's logit is the weighted mean of both standardised logits. Calibration and operating points are
    those of the two together.
    """

    tower: str
    """Public name of the tower."""
    wide_scale: float
    """Side of the square that the tower sees, over the longer side of the face's box."""
    max_faces: int
    """Faces of a track that the tower scores, evenly spaced; between them its logit is interpolated."""
    network_weight: float
    """Share of the network's standardised logit; the rest is the tower's."""
    network_logits: Standardisation
    tower_logits: Standardisation
    calibration: CalibrationSpec
    operating_points: dict[str, OperatingPoint]
    tuned_on: str
    """Data of the tuning, and what its terms ask of a user."""


class DetectorSpec(Strict):
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
    expert: ExpertSpec | None = None
    """What makes the accurate detector of this model; None: the model has the fast one only."""


def write_spec(spec: DetectorSpec, directory: Path) -> Path:
    """Write `spec.json` into the directory and return its path.

    Args:
        spec: of the model.
        directory: folder to write to.
    """
    path = directory / SPEC_FILE
    path.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def read_spec(directory: Path) -> DetectorSpec:
    """Return the spec next to a model's weights.

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
