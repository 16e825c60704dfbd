"""Sets of faces made from one face: fakes are tinted green, which a small network learns in a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepfakestream.faces.crop import crop_face
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.media.types import RGBImage
from deepfakestream.model.network import NORMALISATION, create_network
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec, DetectorSpec
from deepfakestream.training.detector import TrainingJob
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.params import FakeMix, TrainParams

SIZE_PX = 64
MIXES = {
    "dataset": FakeMix(dataset=1.0, self_blend=0.0, swap=0.0),
    "self_blend": FakeMix(dataset=0.0, self_blend=1.0, swap=0.0),
    "swap": FakeMix(dataset=0.0, self_blend=0.0, swap=1.0),
    "even": FakeMix(dataset=0.4, self_blend=0.4, swap=0.2),
}


@pytest.fixture(scope="session")
def face_and_mesh(astronaut: RGBImage) -> tuple[RGBImage, NDArray[np.float32]]:
    large = crop_face(astronaut, np.array((178.0, 58.0, 273.0, 178.0)), scale=1.0, size_px=160)
    points = FaceMesh().find(large, crop_scale=1.0)
    assert points is not None
    small = cv2.resize(large, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (points * (SIZE_PX / 160)).astype(np.float32)


@pytest.fixture(scope="session")
def face_set(face_and_mesh: tuple[RGBImage, NDArray[np.float32]]) -> Callable[..., FaceSet]:
    """Make a set of `num_groups` groups with a real each, and a fake each for the first `num_faked`.

    Every real has another brightness; the last `num_foreign` groups come from a set without fakes.
    """
    face, points = face_and_mesh

    def make(
        *, num_groups: int = 6, num_faked: int = 6, num_foreign: int = 0, num_without_mesh: int = 0
    ) -> FaceSet:
        levels = np.linspace(0.7, 1.0, num_groups)
        reals = [(face * level).astype(np.uint8) for level in levels]
        fakes = [real.copy() for real in reals[:num_faked]]
        for fake in fakes:
            fake[..., 1] = np.clip(fake[..., 1].astype(int) + 90, 0, 255)
        count = num_groups + num_faked
        meshes = np.full((count, *points.shape), np.nan, np.float32)
        meshes[num_without_mesh:num_groups] = points
        groups = np.array([f"g{i}" for i in [*range(num_groups), *range(num_faked)]])
        foreign = np.arange(num_groups) >= num_groups - num_foreign
        return FaceSet(
            images=np.stack([*reals, *fakes]),
            is_fake=np.arange(count) >= num_groups,
            media_ids=np.array([f"m{i}" for i in range(count)]),
            track_ids=np.zeros(count, np.int64),
            groups=groups,
            sources=np.array(["foreign" if f else "home" for f in foreign] + ["home"] * num_faked),
            points=meshes,
        )

    return make


@pytest.fixture
def params() -> Callable[..., TrainParams]:
    """Make parameters of a small training; keywords replace single ones, whatever group they are in."""
    small = TrainParams().changed(
        {
            "network": {"backbone": "test_efficientnet", "drop_rate": 0.3, "start_from": "imagenet"},
            "optimisation": {
                "epochs": 2,
                "batch_size": 4,
                "learning_rate": 0.002,
                "ema_decay": 0.9,
                "early_stopping_patience": 50,
            },
            "samples": {"fake_mix": MIXES["dataset"], "augment": "none", "num_workers": 0},
        }
    )

    def make(**values: Any) -> TrainParams:
        return small.changed(grouped(values))

    return make


def grouped(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Put parameters of a training into the groups that have them."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        (group,) = [group for group, section in TrainParams() if name in type(section).model_fields]
        groups.setdefault(group, {})[name] = value
    return groups


@pytest.fixture
def extraction(extraction_spec: ExtractionSpec) -> ExtractionSpec:
    """How the faces of `face_set` were cut."""
    return replace(extraction_spec, crop_scale=1.0, crop_shift_y=0.0, crop_size_px=SIZE_PX)


@pytest.fixture
def write_untrained(extraction: ExtractionSpec, write_weights: Callable[..., None]) -> Callable[..., Path]:
    """Write the model that `params` describe, with random weights; keywords change its extraction."""

    def write(folder: Path, params: TrainParams, *, seed: int = 1, **changes: float) -> Path:
        torch.manual_seed(seed)
        spec = DetectorSpec(
            network=params.network.spec,
            normalisation=NORMALISATION,
            extraction=replace(extraction, **changes),
            aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=3),
            calibration=CalibrationSpec(slope=1.0, intercept=0.0),
            operating_points={},
            trained_on="nothing",
        )
        write_weights(create_network(spec.network), spec, folder)
        return folder

    return write


@pytest.fixture
def make_job(extraction: ExtractionSpec) -> Callable[[FaceSet, FaceSet, TrainParams], TrainingJob]:
    """Make the training of a set, validated on another, alone on the processor."""

    def make(train: FaceSet, val: FaceSet, params: TrainParams) -> TrainingJob:
        return TrainingJob(
            train=train,
            val=val,
            params=params,
            extraction=extraction,
            seed=3,
            context=DistributedContext(device=torch.device("cpu")),
            trained_on="made from one face",
        )

    return make
