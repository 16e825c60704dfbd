from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfakestream.errors import ParamsError
from deepfakestream.model.network import create_network
from deepfakestream.params import TrainParams
from deepfakestream.training.detector import network_spec
from deepfakestream.training.distributed import Team, join_team, processes_here
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import Trainer
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec

MakeSet = Callable[..., FaceSet]
MakeParams = Callable[..., TrainParams]
CPU = torch.device("cpu")
SCRIPT = Path(__file__).with_name("team_of_two.py")


def _pairs(faces: FaceSet, params: TrainParams) -> PairDataset:
    return PairDataset(faces, PairSpec(mix=params.fake_mix, augment=params.augment, seed=3))


class TestAlone:
    def test_a_team_of_one_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        network = torch.nn.BatchNorm1d(2)
        with join_team("cpu") as team:
            assert (team.leads, team.size, processes_here()) == (True, 1, 1)
            assert team.replicate(network) is network
            assert team.agree("x") == "x"
            assert team.mean(torch.tensor(2.5)) == 2.5
            assert team.scores(lambda images: images.mean(axis=1), np.eye(2, dtype=np.uint8)).shape == (2,)
            assert not torch.distributed.is_initialized()


class TestShares:
    @pytest.mark.parametrize("size", [1, 2, 3, 4])
    def test_batches_of_a_team_are_those_of_one(
        self, face_set: MakeSet, params: MakeParams, size: int
    ) -> None:
        pairs = _pairs(face_set(num_groups=24, num_faked=24), params())
        whole = list(DrawSampler(pairs, num_draws=24, seed=1))
        shares = [DrawSampler(pairs, num_draws=24, seed=1, share=(rank, size)) for rank in range(size)]
        assert {len(list(share)) for share in shares} == {len(share) for share in shares} == {24 // size}
        for start in range(0, 24, 12):
            part = slice(start // size, (start + 12) // size)
            together = [draw for share in shares for draw in list(share)[part]]
            assert sorted(together) == sorted(whole[start : start + 12])

    def test_a_batch_that_cannot_be_divided_is_refused(self, face_set: MakeSet, params: MakeParams) -> None:
        chosen = params(batch_size=6)
        network = create_network(network_spec(chosen))
        with pytest.raises(ParamsError, match=r"half of train\.batch_size must be divisible by the 2"):
            Trainer(network, _pairs(face_set(), chosen), chosen, seed=1, team=Team(device=CPU, size=2))

    def test_a_batch_larger_than_an_epoch_is_refused(self, face_set: MakeSet, params: MakeParams) -> None:
        chosen = params(batch_size=32)
        network = create_network(network_spec(chosen))
        with pytest.raises(ParamsError, match=r"train\.batch_size: .* only 6 pairs to share; lower it to 12"):
            Trainer(network, _pairs(face_set(), chosen), chosen, seed=1, team=Team(device=CPU, size=2))


def _run(
    folder: Path, faces: FaceSet, params: TrainParams, *, num_processes: int, dies_in_epoch: int = -1
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "job.pickle").write_bytes(pickle.dumps((faces, params, dies_in_epoch)))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_processes}"]
    command = [sys.executable, *(launcher if num_processes > 1 else []), str(SCRIPT), str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=250)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, output, output)


def _history(folder: Path, rank: int = 0) -> list[dict[str, float]]:
    epochs = json.loads((folder / f"history-{rank}.json").read_text())
    return [{k: v for k, v in epoch.items() if k != "faces_per_s"} for epoch in epochs]


@pytest.mark.slow
class TestTwoProcesses:
    def test_same_losses_weights_and_stop_as_one(
        self, face_set: MakeSet, params: MakeParams, tmp_path: Path
    ) -> None:
        """Without batch norm the two must agree to rounding; a killed team goes on as if it had not been."""
        faces = face_set(num_groups=12, num_faked=12)
        chosen = params(
            variant="rgb",
            backbone="test_efficientnet_gn",
            batch_size=8,
            epochs=3,
            dropout=0.0,
            augment="light",
        )
        one = _run(tmp_path / "one", faces, chosen, num_processes=1)
        assert one.returncode == 0, one.stderr[-2000:]
        killed = _run(tmp_path / "two", faces, chosen, num_processes=2, dies_in_epoch=1)
        assert killed.returncode != 0
        two = _run(tmp_path / "two", faces, chosen, num_processes=2)
        assert two.returncode == 0, two.stderr[-2000:]

        alone, together = _history(tmp_path / "one"), _history(tmp_path / "two")
        assert together == _history(tmp_path / "two", rank=1)
        assert len(alone) == len(together) == 3
        for mine, theirs in zip(alone, together, strict=True):
            assert theirs == pytest.approx(mine, rel=2e-3)
        weights = [torch.load(tmp_path / "two" / f"weights-{rank}.pt") for rank in (0, 1)]
        single = torch.load(tmp_path / "one" / "weights-0.pt")
        for name, tensor in single.items():
            assert torch.equal(weights[0][name], weights[1][name]), name
            assert torch.allclose(weights[0][name], tensor, atol=2e-3), name

    def test_batch_norms_stay_close(self, face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
        """Each process normalises by its own half of a batch, so curves are near, not equal."""
        faces = face_set(num_groups=16, num_faked=16)
        chosen = params(batch_size=16, epochs=3, dropout=0.0, learning_rate=0.001)
        for count in (1, 2):
            done = _run(tmp_path / str(count), faces, chosen, num_processes=count)
            assert done.returncode == 0, done.stderr[-2000:]
        alone, together = _history(tmp_path / "1"), _history(tmp_path / "2")
        for mine, theirs in zip(alone, together, strict=True):
            assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=0.15)
        statistics = [torch.load(tmp_path / "2" / f"weights-{rank}.pt") for rank in (0, 1)]
        assert all(torch.equal(statistics[0][name], statistics[1][name]) for name in statistics[0])
