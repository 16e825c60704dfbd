"""Section `extract` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.sections import Positive, Section, Share


class ExtractParams(Section):
    """How media become face crops."""

    detector: Literal["retinaface_mnet025", "retinaface_r50", "mtcnn"] = "retinaface_mnet025"
    num_frames: Positive = 16
    min_face_px: Positive = 40
    min_score: Share = 0.8
    max_faces_per_frame: Positive = 8
    crop_scale: float = Field(0.85, gt=0.0, le=3.0)
    crop_shift_y: float = Field(0.04, ge=-0.5, le=0.5)
    crop_size_px: Positive = 224
    shard_size: Positive = 512

    @property
    def spec(self) -> ExtractionSpec:
        """The part that decides which pixels become a crop."""
        return ExtractionSpec(**self.model_dump(exclude={"shard_size"}))
