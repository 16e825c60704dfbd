"""An image tower goes through the same training loop: only its norms and the head move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import save_file

from deepfakestream.errors import WeightsError
from deepfakestream.model.tower.network import tuned_tensors
from deepfakestream.model.tower.sources import tower_path
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.loop import Trainer
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.start import start_network
from deepfakestream.training.validation import LabelledImages

SIZE_PX = 160
TOWER = {"variant": "tower", "backbone": "test_vit", "drop_rate": 0.0}


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """A cache folder with timm's test transformer as its tower."""
    vit = timm.create_model("test_vit", pretrained=False, num_classes=0)
    tower_path(tmp_path).parent.mkdir()
    save_file(
        {name: each.numpy().astype(np.float16) for name, each in vit.state_dict().items()},
        tower_path(tmp_path),
    )
    return tmp_path


@pytest.fixture
def faces(face_set):
    small = face_set()
    images = np.stack([cv2.resize(each, (SIZE_PX, SIZE_PX)) for each in small.images])
    return replace(small, images=images, points=small.points * (SIZE_PX / small.images.shape[1]))


@pytest.mark.slow
def test_tuning_moves_norms_and_head_learns_and_resumes(faces, params, cache_dir, tmp_path):
    chosen = params(**TOWER, epochs=4, learning_rate=0.01)
    network = start_network(chosen, cache_dir)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    pairs = PairDataset(faces, PairSpec(mix=chosen.samples.fake_mix, augment="none", seed=3))
    context = DistributedContext(device=torch.device("cpu"))
    trainer = Trainer(network, pairs, chosen, seed=3, context=context)
    validation = {"dataset": LabelledImages(images=faces.images, is_fake=faces.is_fake, groups=faces.groups)}
    checkpoints = CheckpointStore(directory=tmp_path / "checkpoints")
    result = trainer.fit(validation, checkpoints, lambda *_: None)

    tuned = set(tuned_tensors(result.network))
    moved = {
        name for name, each in result.network.state_dict().items() if not torch.equal(each, before[name])
    }
    assert moved <= tuned
    assert "head.weight" in moved
    assert any("norm" in name for name in moved)
    assert max(metrics["val_auc"] for metrics in result.history) > 0.8
    state = checkpoints.load()
    assert state is not None
    assert set(state["network"]) == tuned, "frozen weights are 2,000 times as many"

    again = Trainer(start_network(chosen, cache_dir), pairs, chosen, seed=3, context=context)
    resumed = again.fit(validation, checkpoints, lambda *_: None)
    assert resumed.history == result.history
    for name, each in tuned_tensors(result.network).items():
        assert torch.equal(each, tuned_tensors(resumed.network)[name])


def test_a_tower_that_was_not_fetched_is_named(params, tmp_path):
    with pytest.raises(WeightsError, match="model fetch accurate"):
        start_network(params(**TOWER), tmp_path)
