from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepfakestream.model.network import create_network
from deepfakestream.params import TrainParams
from deepfakestream.training.area import AreaLearner, area_loss, forged_area
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distributed import Team
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import Trainer
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.start import network_spec
from deepfakestream.training.validation import LabelledImages

SIZE_PX = 64
ALONE = Team(device=torch.device("cpu"))


@pytest.fixture
def pair() -> Tensor:
    """A grey real and a fake that is 40 levels brighter in the middle of its lower half."""
    pictures = torch.full((1, 2, 3, SIZE_PX, SIZE_PX), 100.0)
    pictures[0, 1, :, 32:48, 16:48] += 40.0
    return pictures


class TestForgedArea:
    def test_is_where_the_fake_differs(self, pair: Tensor) -> None:
        area, known = forged_area(pair, (4, 4))
        assert known.tolist() == [1.0]
        assert area[0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]

    def test_is_a_share_of_each_place(self, pair: Tensor) -> None:
        area, _ = forged_area(pair, (2, 2))
        assert area[0].tolist() == [[0.0, 0.0], [0.25, 0.25]]

    @pytest.mark.parametrize("noise", [0.0, 1.0])
    def test_noise_of_coding_is_not_forged(self, pair: Tensor, noise: float) -> None:
        noisy = pair.clone()
        noisy[0, 1] += noise * (2 * torch.rand(pair[0, 1].shape, generator=torch.manual_seed(0)) - 1)
        assert torch.equal(forged_area(noisy, (4, 4))[0], forged_area(pair, (4, 4))[0])

    def test_is_unknown_where_nothing_shows(self, pair: Tensor) -> None:
        faint = pair.clone()
        faint[:, 1] = pair[:, 0] + (pair[:, 1] - pair[:, 0]) / 40
        assert forged_area(faint, (4, 4))[1].tolist() == [0.0]

    def test_is_unknown_where_the_pair_does_not_line_up(self, pair: Tensor) -> None:
        other = pair.clone()
        other[:, 1] = 100.0 + 50.0 * torch.rand(pair[:, 1].shape, generator=torch.manual_seed(0))
        assert forged_area(other, (4, 4))[1].tolist() == [0.0]


class TestLoss:
    def test_by_hand(self, pair: Tensor) -> None:
        """Even odds everywhere cost log 2; sure and right costs nothing."""
        pixels = pair.flatten(0, 1)
        assert area_loss(torch.zeros(2, 1, 4, 4), pixels).item() == pytest.approx(np.log(2.0), abs=1e-6)
        right = torch.full((2, 1, 4, 4), -20.0)
        right[1, 0, 2, 1:3] = 20.0
        assert area_loss(right, pixels).item() == pytest.approx(0.0, abs=1e-6)

    def test_each_stream_is_asked(self, pair: Tensor) -> None:
        places = torch.zeros(2, 2, 4, 4)
        places[:, 1] = -20.0
        one, other = (area_loss(places[:, [i]], pair.flatten(0, 1)).item() for i in (0, 1))
        assert area_loss(places, pair.flatten(0, 1)).item() == pytest.approx((one + other) / 2)

    def test_a_fake_of_unknown_area_counts_only_by_its_real(self, pair: Tensor) -> None:
        pixels = pair.flatten(0, 1).clone()
        pixels[1] = pixels[0]
        places = torch.tensor([0.0, 9.0])[:, None, None, None].expand(2, 1, 4, 4)
        assert area_loss(places, pixels).item() == pytest.approx(np.log(2.0), abs=1e-6)


def test_logits_are_those_of_the_network(params: Callable[..., TrainParams]) -> None:
    network = create_network(network_spec(params(variant="dual"))).eval()
    pixels = 255 * torch.rand(2, 3, SIZE_PX, SIZE_PX, generator=torch.manual_seed(0))
    logits, places = AreaLearner(network, tells_where=True).eval()(pixels)
    assert torch.equal(logits, network.one_way(pixels))
    assert places.shape[:2] == (2, 2)
    alone, nowhere = AreaLearner(network, tells_where=False).eval()(pixels)
    assert nowhere is None
    assert torch.equal(alone, logits)


def test_training_learns_where_beside_whether(
    face_set: Callable[..., FaceSet], params: Callable[..., TrainParams], tmp_path: Path
) -> None:
    faces = face_set()
    images = faces.images.copy()
    reals, fakes = images[:6], images[6:]
    fakes[:, :16], fakes[:, :, :16], fakes[:, :, -16:] = reals[:, :16], reals[:, :, :16], reals[:, :, -16:]
    faces = replace(faces, images=images)
    pixels = torch.from_numpy(np.stack([reals, fakes], 1)).flatten(0, 1).permute(0, 3, 1, 2).float()
    chosen = params(epochs=12, area_weight=1.0, dropout=0.0)
    torch.manual_seed(3)
    pairs = PairDataset(faces, PairSpec(mix=chosen.fake_mix, augment="none", seed=3))
    trainer = Trainer(create_network(network_spec(chosen)), pairs, chosen, seed=3, team=ALONE)
    untold = area_loss(trainer._learner.eval()(pixels)[1], pixels).item()
    validation = {"x": LabelledImages(images=images, is_fake=faces.is_fake, groups=faces.groups)}
    result = trainer.fit(validation, CheckpointStore(directory=tmp_path), lambda *_: None)
    assert result.history[-1]["train_loss"] < 0.8 * result.history[0]["train_loss"]
    assert area_loss(trainer._learner.eval()(pixels)[1], pixels).item() < 0.7 * untold
