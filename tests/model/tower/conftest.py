"""A tower of 0.3 million parameters: timm's test transformer with random weights in place of CLIP's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import save_file

from deepfakestream.model.tower.sources import tower_path

BACKBONE = "test_vit"
SIZE_PX = 160


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that the small tower was fetched to."""
    torch.manual_seed(0)
    vit = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
    folder = tmp_path_factory.mktemp("cache")
    tower_path(folder).parent.mkdir()
    weights = {name: each.numpy().astype(np.float16) for name, each in vit.state_dict().items()}
    save_file(weights, tower_path(folder))
    return folder
