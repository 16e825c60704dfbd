"""Small networks with random weights of every shape that a spec can ask for, and a face to explain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepfakestream.media.types import RGBImage
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.spec import NetworkSpec

SIZE_PX = 64
MIRRORED = "ensemble"
"""The variant that is built to score a face and its mirror image."""
SHAPES = [
    *(("rgb", "avg"), ("srm", "avg"), ("stacked", "avg"), ("dual", "avg"), (MIRRORED, "avg")),
    *(("rgb", "gwap"), ("dual", "gwap")),
]


def make_network(variant: str, pooling: str) -> DetectorNetwork:
    torch.manual_seed(7)
    spec = NetworkSpec(
        variant=variant,
        backbone="tf_efficientnet_lite0",
        global_pool=pooling,
        drop_rate=0.2,
        flip_tta=variant == MIRRORED,
    )
    network = create_network(spec).eval()
    with torch.no_grad():
        for stream in network.streams.values():
            if pooling == "gwap":
                stream.pooling.score.weight.normal_(std=0.5)
    return network


@pytest.fixture(scope="session")
def networks() -> dict[tuple[str, str], DetectorNetwork]:
    return {shape: make_network(*shape) for shape in SHAPES}


@pytest.fixture(scope="session")
def crop(astronaut: RGBImage) -> RGBImage:
    return np.ascontiguousarray(astronaut[60:188:2, 165:293:2])
