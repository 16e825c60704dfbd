"""Hand-written stand-ins for detector and model, and real small files for them to work on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deepfakestream.faces.types import Detection, ExtractionSpec, FaceCrop
from deepfakestream.media.types import MediaBudget, RGBImage
from deepfakestream.model.scorer import FaceScores, ModelInfo
from deepfakestream.model.spec import (
    AggregationSpec,
    CalibrationSpec,
    DetectorSpec,
    NetworkSpec,
    NormalisationSpec,
    OperatingPoint,
)
from deepfakestream.scanning.engine import ScanEngine

SIZE = 32


def make_spec() -> DetectorSpec:
    return DetectorSpec(
        network=NetworkSpec(variant="dual", backbone="none", global_pool="avg", drop_rate=0.0),
        normalisation=NormalisationSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        extraction=ExtractionSpec(
            detector="fake", num_frames=4, min_face_px=10, min_score=0.5, max_faces_per_frame=4,
            crop_scale=1.0, crop_size_px=SIZE,
        ),
        aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=1),
        calibration=CalibrationSpec(slope=1.0, intercept=0.0),
        operating_points={
            "balanced": OperatingPoint(
                threshold=0.7, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files"
            ),
            "low_fpr": OperatingPoint(
                threshold=0.95, inconclusive_from=0.7, fpr=None, tpr=None, measured_on="not measured"
            ),
        },
        trained_on="nothing",
    )  # fmt: skip


class SquareDetector:
    """Finds a face wherever a picture has a bright square: one in the left half, one in the right."""

    name = "squares"
    digest = "00"

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        return [[face for half in (0, 1) for face in self._face(image, half)] for image in images]

    def _face(self, image: RGBImage, half: int) -> list[Detection]:
        width = image.shape[1] // 2
        ys, xs = np.nonzero(image[:, half * width : (half + 1) * width].mean(axis=2) > 60)
        if len(xs) == 0:
            return []
        box = (
            float(xs.min() + half * width),
            float(ys.min()),
            float(xs.max() + half * width + 1),
            float(ys.max() + 1),
        )
        return [Detection(box_xyxy=box, landmarks_xy=np.full((5, 2), np.nan, np.float32), score=0.9)]


class RednessScorer:
    """Takes how red a crop is as its logit: black 0, pure red about +5, pure blue about -5."""

    spec = make_spec()
    info = ModelInfo(name="redness", version="7", weights_sha256="ff")
    wide_scale: float | None = None

    @property
    def fast(self) -> RednessScorer:
        return self

    def face_scores(self, crops: Sequence[FaceCrop], /) -> FaceScores:
        return self.scores(np.stack([crop.rgb for crop in crops]))

    def scores(self, crops: NDArray[np.uint8], /) -> FaceScores:
        """Take the mean colour as the embedding."""
        return FaceScores(self.logits(crops), crops.astype(np.float32).mean(axis=(1, 2)))

    def logits(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        pixels = crops.astype(np.float32).mean(axis=(1, 2)) / 255
        return (5.0 * (pixels[:, 0] - pixels[:, 2])).astype(np.float32)


class NanScorer(RednessScorer):
    """A model that broke."""

    def logits(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        return np.full(len(crops), np.nan, np.float32)


@pytest.fixture
def make_engine() -> Callable[..., ScanEngine]:
    """Engine on the stand-ins; `broken=True` takes a model whose scores are not numbers."""

    def make(*, operating_point: str = "balanced", broken: bool = False, **budget: float) -> ScanEngine:
        scorer = NanScorer() if broken else RednessScorer()
        return ScanEngine(
            SquareDetector(), scorer, budget=MediaBudget(**budget), operating_point=operating_point
        )

    return make


@pytest.fixture
def write_picture(tmp_path: Path) -> Callable[..., Path]:
    """Writer of a 200 x 100 picture with a 40 px square of each given colour, left half first."""

    def write(name: str, *squares_rgb: tuple[int, int, int]) -> Path:
        image = np.zeros((100, 200, 3), np.uint8)
        for half, colour in enumerate(squares_rgb):
            image[30:70, half * 100 + 30 : half * 100 + 70] = colour
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
        return tmp_path / name

    return write
