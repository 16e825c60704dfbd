from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepfakestream.errors import DataError, DivergedError, ParamsError
from deepfakestream.model.network import create_network
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import EpochMetrics, FitResult, Trainer, draws_an_epoch
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.params import TrainParams
from deepfakestream.training.validation import SCORE_BATCH, LabelledImages

MakeSet = Callable[..., FaceSet]
MakeParams = Callable[..., TrainParams]
ALONE = DistributedContext(device=torch.device("cpu"))


class KilledError(Exception):
    """Stands for the process's end."""


def _trainer(faces: FaceSet, params: TrainParams) -> Trainer:
    torch.manual_seed(3)
    pairs = PairDataset(faces, PairSpec(mix=params.samples.fake_mix, augment=params.samples.augment, seed=3))
    return Trainer(create_network(params.network.spec), pairs, params, seed=3, context=ALONE)


def _validation(faces: FaceSet) -> dict[str, LabelledImages]:
    return {"dataset": LabelledImages(images=faces.images, is_fake=faces.is_fake, groups=faces.groups)}


def _fit(
    faces: FaceSet,
    params: TrainParams,
    directory: Path,
    on_epoch: Callable[[int, EpochMetrics], None] = lambda epoch, metrics: None,
) -> FitResult:
    return _trainer(faces, params).fit(_validation(faces), CheckpointStore(directory=directory), on_epoch)


def _batches(trainer: Trainer) -> list[tuple[int, ...]]:
    """Return the shapes of an epoch's batches."""
    return [tuple(pairs.shape) for pairs in trainer._loader]


def _timeless(history: tuple[EpochMetrics, ...]) -> list[dict[str, float]]:
    return [{k: v for k, v in metrics.items() if k != "faces_per_s"} for metrics in history]


@pytest.mark.parametrize(
    ("num_reals", "steps", "num_draws"), [(15, 0, 12), (16, 0, 16), (3, 0, 3), (15, 5, 20), (3, 2, 8)]
)
def test_an_epoch_is_whole_batches(params: MakeParams, num_reals: int, steps: int, num_draws: int) -> None:
    """Batches of four pairs: of 15 draws two processes would have had eight and seven, so two and one."""
    assert draws_an_epoch(params(batch_size=8, steps_per_epoch=steps), num_reals) == num_draws


class TestFit:
    def test_learns_a_tiny_set(self, face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
        result = _fit(face_set(), params(epochs=6, drop_rate=0.0), tmp_path)
        losses = [metrics["train_loss"] for metrics in result.history]
        assert losses[-1] < 0.7 * losses[0]
        assert max(metrics["val_auc"] for metrics in result.history) > 0.9

    def test_learning_rate_warms_up_and_falls(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path
    ) -> None:
        result = _fit(face_set(), params(epochs=4, warmup_share=0.25), tmp_path)
        rates = [metrics["learning_rate"] for metrics in result.history]
        assert rates[0] > rates[1] > rates[2] > rates[3]
        assert rates[-1] == pytest.approx(0.002 / 100)

    @pytest.mark.parametrize(("batch_size", "batches"), [(2, [1, 1, 1]), (4, [2]), (64, [3])])
    def test_any_batch_size(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path, batch_size: int, batches: list[int]
    ) -> None:
        """A batch larger than the set takes the whole set, and a rest is left out."""
        faces = face_set(num_groups=3, num_faked=3)
        chosen = params(batch_size=batch_size, epochs=1)
        assert _batches(_trainer(faces, chosen)) == [(num_pairs, 2, 3, 64, 64) for num_pairs in batches]
        result = _fit(faces, chosen, tmp_path)
        assert len(result.history) == 1
        assert np.isfinite(result.history[0]["train_loss"])

    def test_as_many_steps_as_asked(self, face_set: MakeSet, params: MakeParams) -> None:
        trainer = _trainer(face_set(num_groups=2, num_faked=2), params(steps_per_epoch=5, batch_size=4))
        assert len(trainer._loader) == len(_batches(trainer)) == 5

    def test_weights_are_averaged(self, face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
        trainer = _trainer(face_set(), params(epochs=1, ema_decay=0.999))
        result = trainer.fit(
            _validation(face_set()), CheckpointStore(directory=tmp_path), lambda epoch, metrics: None
        )
        own = trainer._network.head.weight
        assert not torch.equal(result.network.head.weight, own)
        assert result.network is not trainer._network

    def test_the_average_follows_its_formula(self, face_set: MakeSet, params: MakeParams) -> None:
        """The decay of update n is 1 - (n - 1)^(-2/3) from n = 3 on, at most `ema_decay`; before it is 0."""
        chosen = params(batch_size=4, steps_per_epoch=5, ema_decay=0.5, learning_rate=0.05)
        trainer = _trainer(face_set(), chosen)
        weights: list[torch.Tensor] = []
        make_step = trainer._step

        def step(pairs: Any) -> torch.Tensor:
            loss = make_step(pairs)
            weights.append(trainer._network.head.weight.detach().clone())
            return loss

        trainer._step = step  # type: ignore[method-assign]
        trainer._epoch(0)
        third = 0.370039 * weights[1] + 0.629961 * weights[2]
        fourth = 0.5 * third + 0.5 * weights[3]  # 1 - 3^(-2/3) = 0.519 is more than ema_decay
        fifth = 0.5 * fourth + 0.5 * weights[4]
        assert (weights[4] - weights[3]).abs().max() > 1e-3
        assert torch.allclose(trainer._averaged.head.weight, fifth, atol=1e-6)

    def test_divergence_is_said(self, face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
        trainer = _trainer(face_set(), params())
        with torch.no_grad():
            trainer._network.head.bias.fill_(float("nan"))
        with pytest.raises(ParamsError, match=r"^train\.optimisation\.learning_rate: .*epoch 1"):
            trainer.fit(
                _validation(face_set()), CheckpointStore(directory=tmp_path), lambda epoch, metrics: None
            )

    def test_divergence_in_an_epochs_last_step_is_said(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path
    ) -> None:
        """Its loss was still a number; what the network says after it is none."""
        chosen = params(
            optimizer="sgd", learning_rate=1e30, warmup_share=0.0, ema_decay=0.0, steps_per_epoch=1
        )
        with pytest.raises(DivergedError, match=r"^train\.optimisation\.learning_rate: .*dataset"):
            _fit(face_set(), chosen, tmp_path)


class TestEarlyStopping:
    def test_keeps_the_best_and_stops(self, face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
        """With every label equal in looks nothing improves on the first epoch's AUC of one half.

        A batch of genuine pictures and one of forged ones: some processors score equal pictures of one batch
        differently in the last digit, but equally at the same place of two batches.
        """
        faces = face_set(num_groups=2, num_faked=2)
        same = {
            "flat": LabelledImages(
                images=np.zeros((2 * SCORE_BATCH, 64, 64, 3), np.uint8),
                is_fake=np.repeat([False, True], SCORE_BATCH),
                groups=np.arange(2 * SCORE_BATCH).astype(str),
            )
        }
        result = _trainer(faces, params(epochs=9, early_stopping_patience=2)).fit(
            same, CheckpointStore(directory=tmp_path), lambda epoch, metrics: None
        )
        assert (len(result.history), result.best_epoch) == (3, 0)


class TestResume:
    @pytest.mark.parametrize("killed_after", [0, 1])
    def test_a_killed_training_ends_as_if_it_had_not_been(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path, killed_after: int
    ) -> None:
        """Same losses, learning rates, AUCs and weights, dropout and shuffling included."""
        faces, chosen = face_set(), params(epochs=3)
        whole = _fit(faces, chosen, tmp_path / "whole")

        def kill(epoch: int, metrics: EpochMetrics) -> None:
            if epoch == killed_after + 1:
                raise KilledError

        with pytest.raises(KilledError):
            _fit(faces, chosen, tmp_path / "killed", kill)
        torch.manual_seed(999)  # a new process has another state
        epochs: list[int] = []
        resumed = _fit(faces, chosen, tmp_path / "killed", lambda epoch, metrics: epochs.append(epoch))
        assert epochs == [0, 1, 2]
        assert _timeless(resumed.history) == _timeless(whole.history)
        assert resumed.best_epoch == whole.best_epoch
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(resumed.network.state_dict()[name], tensor), name

    def test_a_finished_training_is_not_repeated(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path
    ) -> None:
        first = _fit(face_set(), params(), tmp_path)
        again = _fit(face_set(), params(), tmp_path)
        assert again.history == first.history


class TestCheckpointStore:
    def test_nothing_yet(self, tmp_path: Path) -> None:
        store = CheckpointStore(directory=tmp_path / "none")
        assert store.load() is None
        store.remove()

    def test_round_trip_replaces_and_removes(self, tmp_path: Path) -> None:
        store = CheckpointStore(directory=tmp_path / "deep" / "run")
        state: dict[str, Any] = {"progress": {"epoch": 1}, "network": {"a": torch.ones(2)}}
        store.save({"progress": {}})
        store.save(state)
        loaded = store.load()
        assert loaded is not None
        assert loaded["progress"] == {"epoch": 1}
        assert [path.name for path in store.directory.iterdir()] == ["last.pt"]
        store.remove()
        assert not store.directory.exists()

    def test_leftover_of_a_kill_is_ignored(self, tmp_path: Path) -> None:
        store = CheckpointStore(directory=tmp_path)
        store.save({"epoch": 1})
        (tmp_path / "last.pt.7.partial").write_bytes(b"half")
        assert store.load() == {"epoch": 1}

    @pytest.mark.parametrize("kept_bytes", [0, 3, 600])
    def test_damaged(self, tmp_path: Path, kept_bytes: int) -> None:
        store = CheckpointStore(directory=tmp_path)
        store.save({"a": torch.ones(1000)})
        path = tmp_path / "last.pt"
        path.write_bytes(path.read_bytes()[:kept_bytes])
        with pytest.raises(DataError, match=r"last\.pt: "):
            store.load()
