from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import (
    TrainingJob,
    draws_for_the_head,
    train_detector,
    training_pairs,
)
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.head import PENALTY, refit_head
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import TrainParams

ALONE = DistributedContext(device=torch.device("cpu"))


def refitted(faces: FaceSet, params: TrainParams) -> tuple[DetectorNetwork, torch.Tensor]:
    """Return a random network with a fitted head, and the pictures that it was fitted on."""
    torch.manual_seed(1)
    network = create_network(params.network.spec).eval()
    pairs = PairDataset(faces, PairSpec(mix=params.samples.fake_mix, augment="none", seed=3))
    sampler = DrawSampler(pairs, num_draws=len(pairs), seed=3)
    refit_head(network, [(pairs, sampler)], num_workers=0, context=ALONE)
    return network, torch.stack([pairs[draw] for draw in sampler]).flatten(0, 1).float()


@pytest.mark.parametrize("variant", ["rgb", "dual"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_is_the_optimum_of_its_loss(
    face_set: Callable[..., FaceSet], params: Callable[..., TrainParams], variant: str, mirrored: bool
) -> None:
    """No small step of any weight or of the bias lowers the penalised loss."""
    network, pixels = refitted(face_set(), params(variant=variant, flip_tta=mirrored))
    labels = torch.tensor([0.0, 1.0]).repeat(len(pixels) // 2).double()
    with torch.no_grad():
        features = network.features(pixels).double()
        assert torch.allclose(network(pixels).double(), network.head.double()(features)[:, 0], atol=1e-4)
    scaled = (features - features.mean(0)) / features.std(0, correction=0)
    weight = (network.head.weight[0].detach() * features.std(0, correction=0)).requires_grad_()
    bias = (network.head.bias.detach() + network.head.weight[0].detach() @ features.mean(0)).requires_grad_()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled @ weight + bias, labels)
    (loss + PENALTY / 2 * (weight**2).sum()).backward()
    assert weight.grad is not None
    assert weight.grad.abs().max() < 1e-3
    assert bias.grad is not None
    assert bias.grad.abs().max() < 1e-3


def test_separates_what_random_features_can(
    face_set: Callable[..., FaceSet], params: Callable[..., TrainParams]
) -> None:
    network, pixels = refitted(face_set(), params())
    with torch.no_grad():
        assert roc_auc_score(np.tile([0, 1], len(pixels) // 2), network(pixels).numpy()) > 0.95


def test_no_pair_is_fitted_twice_or_drawn_by_training(
    face_set: Callable[..., FaceSet],
    params: Callable[..., TrainParams],
    make_job: Callable[..., TrainingJob],
) -> None:
    """The degraded and the lightly degraded half were the same pairs, so half of them added nothing."""
    chosen = params(fake_mix={"dataset": 0.0, "self_blend": 1.0, "swap": 0.0}, refit_head_pairs=12)
    job = make_job(face_set(), face_set(), chosen)
    trained = training_pairs(job)
    halves = [(pairs, list(sampler)) for pairs, sampler in draws_for_the_head(job)]
    assert [len(draws) for _, draws in halves] == [6, 6]
    drawn = [
        pairs.pair(int(face), np.random.default_rng([pairs._spec.seed, 0, index]))[1].tobytes()
        for pairs, draws in [*halves, (trained, range(6))]
        for index, face in ((draw, job.train.reals[draw]) for draw in draws)
    ]
    assert len(set(drawn)) == 18


@pytest.mark.parametrize("streams", ["joint", "separate"])
def test_ends_a_training_and_is_measured(
    face_set: Callable[..., FaceSet],
    params: Callable[..., TrainParams],
    make_job: Callable[..., TrainingJob],
    write_untrained: Callable[..., Path],
    tmp_path: Path,
    streams: str,
) -> None:
    chosen = params(variant="dual", streams=streams, refit_head_pairs=6)
    start = str(write_untrained(tmp_path / "start", chosen))
    job = make_job(face_set(), face_set(), chosen.changed({"network": {"start_from": start}}))
    epochs: list[int] = []
    trained = train_detector(
        job, CheckpointStore(directory=tmp_path / "run"), lambda epoch, metrics: epochs.append(epoch)
    )
    num_epochs = 2 * chosen.optimisation.epochs if streams == "separate" else chosen.optimisation.epochs
    assert epochs == list(range(num_epochs + 1))
    assert trained.fit.best_epoch == num_epochs
    assert trained.fit.history[-1]["val_auc"] > 0.7
