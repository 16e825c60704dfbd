"""Small detectors: a timm test network of 0.3 million parameters on 64 px crops, its weights random."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.files import save_model
from deepfakestream.model.network import NORMALISATION, DetectorNetwork, create_network
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec, DetectorSpec, NetworkSpec

TINY_BACKBONE = "test_efficientnet"
SIZE_PX = 64


def make_spec(variant: str = "stacked", *, pooling: str = "avg", size_px: int = SIZE_PX) -> DetectorSpec:
    return DetectorSpec(
        network=NetworkSpec.model_validate(
            {
                "variant": variant,
                "backbone": TINY_BACKBONE,
                "global_pool": pooling,
                "drop_rate": 0.2,
            }
        ),
        normalisation=NORMALISATION,
        extraction=ExtractionSpec(
            detector="retinaface_mnet025",
            num_frames=4,
            min_face_px=40,
            min_score=0.8,
            max_faces_per_frame=8,
            crop_scale=0.85,
            crop_size_px=size_px,
        ),
        aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=3),
        calibration=CalibrationSpec(slope=1.0, intercept=0.0),
        operating_points={},
        trained_on="nothing",
    )


@pytest.fixture(scope="session")
def tiny_spec() -> DetectorSpec:
    return make_spec()


def make_network(spec: DetectorSpec, *, seed: int = 0) -> DetectorNetwork:
    """Return a network whose batch norms have statistics of their own, as after training."""
    torch.manual_seed(seed)
    network = create_network(spec.network)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                tensor.uniform_(-0.2, 0.2)
    return network.eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return a model folder that is shared: exporting takes seconds, copying does not."""

    @functools.cache
    def export(variant: str, pooling: str) -> Path:
        folder = tmp_path_factory.mktemp("exported")
        spec = make_spec(variant, pooling=pooling)
        save_model(make_network(spec), spec, folder)
        return folder

    return export


@pytest.fixture
def write_model(tmp_path: Path, exported: Callable[[str, str], Path]) -> Callable[..., Path]:
    """Write a small model folder of the test's own and return it."""

    def write(variant: str = "stacked", *, pooling: str = "avg", name: str = "model") -> Path:
        return Path(shutil.copytree(exported(variant, pooling), tmp_path / name))

    return write


@pytest.fixture(scope="session")
def model_dir(exported: Callable[[str, str], Path]) -> Path:
    """A small `stacked` model; do not change it."""
    return exported("stacked", "avg")


@pytest.fixture
def spec() -> DetectorSpec:
    return make_spec()


@pytest.fixture(scope="session")
def network_of() -> Callable[..., DetectorNetwork]:
    """Make the network of a spec."""
    return make_network


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., DetectorSpec]:
    """Make the spec of a variant."""
    return make_spec
