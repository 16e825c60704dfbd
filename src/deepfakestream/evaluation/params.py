"""Section `evaluate` of params.yaml."""

from __future__ import annotations

from pydantic import Field

from deepfakestream.sections import Positive, Section


class EvaluateParams(Section):
    """How a model is measured."""

    num_bootstrap: Positive = 500
    low_fpr: float = Field(0.01, gt=0.0, lt=1.0)
    robustness_faces: int = Field(128, ge=0)
