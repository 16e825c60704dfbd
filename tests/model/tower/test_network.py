"""A tower as a detector's network: what is trained, what a model folder holds, and that runtimes agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfakestream.errors import WeightsError
from deepfakestream.model.files import load_network, save_model
from deepfakestream.model.folder import ONNX_FILE, WEIGHTS_FILE
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.scorer import open_scorer
from deepfakestream.model.spec import DetectorSpec, NetworkSpec
from deepfakestream.model.tower.network import FEATURE_SCALE, load_tower_weights, tuned_tensors
from deepfakestream.model.tower.sources import read_tower, tower_path

from .conftest import BACKBONE, SIZE_PX


@pytest.fixture(scope="module")
def spec(tiny_spec: DetectorSpec) -> DetectorSpec:
    network = NetworkSpec(variant="tower", backbone=BACKBONE, global_pool="avg", drop_rate=0.0)
    extraction = replace(tiny_spec.extraction, crop_size_px=SIZE_PX)
    return tiny_spec.model_copy(update={"network": network, "extraction": extraction})


@pytest.fixture(scope="module")
def network(spec: DetectorSpec, cache_dir: Path) -> DetectorNetwork:
    """A network with the fetched tower, its head and norms moved as tuning would move them."""
    made = create_network(spec.network)
    load_tower_weights(made, read_tower(tower_path(cache_dir)))
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in tuned_tensors(made).values():
            tensor.add_(0.02 * torch.randn_like(tensor))
    return made.eval()


@pytest.fixture(scope="module")
def folder(network: DetectorNetwork, spec: DetectorSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tower-model")
    save_model(network, spec, directory)
    return directory


def crops(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)


def test_only_norms_and_head_are_trained(network):
    trained = {name for name, each in network.named_parameters() if each.requires_grad}
    assert trained == set(tuned_tensors(network))
    assert all("norm" in name or name.startswith("head.") for name in trained)
    share = sum(each.numel() for each in tuned_tensors(network).values())
    assert 0 < share < 0.02 * sum(each.numel() for each in network.parameters())


def test_each_half_of_the_features_has_the_same_length(network):
    pixels = torch.from_numpy(crops(2)).permute(0, 3, 1, 2).float()
    halves = network.features(pixels).chunk(2, dim=1)
    for half in halves:
        np.testing.assert_allclose(half.detach().norm(dim=1), FEATURE_SCALE, rtol=1e-5)


def test_a_model_folder_holds_no_weights_of_the_tower(network, folder):
    tuned = sum(each.numel() for each in tuned_tensors(network).values())
    assert (folder / WEIGHTS_FILE).stat().st_size < 4 * tuned + 20_000
    assert (folder / ONNX_FILE).stat().st_size < 200_000


def test_both_runtimes_give_the_scores_of_the_network(network, folder, cache_dir):
    tower = tower_path(cache_dir)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(crops(3)).permute(0, 3, 1, 2).float()).numpy()
        loaded, _ = load_network(folder, tower=tower)
        again = loaded(torch.from_numpy(crops(3)).permute(0, 3, 1, 2).float()).numpy()
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(again, wanted, atol=1e-4)
    np.testing.assert_allclose(
        open_scorer(folder, device="cpu", tower=tower).logits(crops(3)), wanted, atol=1e-3
    )


def test_without_the_tower_the_error_names_the_remedy(folder, tmp_path):
    with pytest.raises(WeightsError, match="model fetch accurate"):
        open_scorer(folder, device="cpu", tower=tmp_path / "missing.safetensors")


def test_another_tower_is_refused(spec, cache_dir):
    weights = read_tower(tower_path(cache_dir))
    weights.pop("cls_token")
    with pytest.raises(WeightsError, match=r"train\.network\.backbone"):
        load_tower_weights(create_network(spec.network), weights)
