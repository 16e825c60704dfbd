from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepfakestream.errors import ParamsError
from deepfakestream.model.network import create_network
from deepfakestream.training.distributed import DistributedContext, init_distributed, processes_here
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import Trainer
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import TrainParams

MakeSet = Callable[..., FaceSet]
MakeParams = Callable[..., TrainParams]
CPU = torch.device("cpu")
ALONE = DistributedContext(device=CPU)
SCRIPT = Path(__file__).with_name("two_processes.py")


def _pairs(faces: FaceSet, params: TrainParams) -> PairDataset:
    return PairDataset(faces, PairSpec(mix=params.samples.fake_mix, augment=params.samples.augment, seed=3))


class TestAlone:
    def test_a_team_of_one_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        network = torch.nn.BatchNorm1d(2)
        with init_distributed("cpu") as context:
            assert (context.is_main, context.size, processes_here()) == (True, 1, 1)
            assert context.replicate(network) is network
            assert context.broadcast("x") == "x"
            assert context.mean(torch.tensor(2.5)) == 2.5
            assert context.scores(lambda images: images.mean(axis=1), np.eye(2, dtype=np.uint8)).shape == (2,)
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
        network = create_network(chosen.network.spec)
        with pytest.raises(ParamsError, match=r"train\.optimisation\.batch_size .*\b2\b"):
            Trainer(
                network,
                _pairs(face_set(), chosen),
                chosen,
                seed=1,
                context=DistributedContext(device=CPU, size=2),
            )

    def test_a_batch_larger_than_an_epoch_is_refused(self, face_set: MakeSet, params: MakeParams) -> None:
        chosen = params(batch_size=32)
        network = create_network(chosen.network.spec)
        with pytest.raises(ParamsError, match=r"^train\.optimisation\.batch_size: .*\b12$"):
            Trainer(
                network,
                _pairs(face_set(), chosen),
                chosen,
                seed=1,
                context=DistributedContext(device=CPU, size=2),
            )


SMALL: dict[str, Any] = {
    "batch_size": 16,
    "steps_per_epoch": 3,
    "epochs": 3,
    "drop_rate": 0.0,
    "learning_rate": 0.001,
}


class KilledError(Exception):
    """Stands for the end of a process that trains alone."""


def _script() -> Any:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _together(folder: Path, faces: FaceSet, jobs: dict[str, TrainParams], *, deadly: str = "") -> None:
    """Train with two processes, one of which dies in the deadly job; afterwards none of them is alive."""
    (folder / "jobs.pickle").write_bytes(pickle.dumps((faces, jobs, deadly)))
    options = ["--standalone", "--nproc_per_node=2"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, str(SCRIPT), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=160)
    finally:
        process.terminate()  # torchrun ends those that it started
        process.wait(timeout=40)
    assert (process.returncode != 0) == bool(deadly), output[-2000:]
    started = {path.name: int(path.read_text()) for path in folder.glob("pid-*")}
    assert set(started) == {"pid-0", "pid-1"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in started.values())


def _history(folder: Path, rank: int = 0) -> list[dict[str, float]]:
    epochs = json.loads((folder / f"history-{rank}.json").read_text())
    return [{k: v for k, v in epoch.items() if k != "faces_per_s"} for epoch in epochs]


def _weights(folder: Path, rank: int = 0) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(folder / f"weights-{rank}.pt")
    return weights


def _kill(epoch: int, _: object) -> None:
    if epoch == 1:
        raise KilledError


@pytest.mark.slow
def test_two_processes_train_as_one(face_set: MakeSet, params: MakeParams, tmp_path: Path) -> None:
    """One launch holds several trainings, because most of a launch's time goes into imports.

    Group norms see one face at a time, so two processes must agree with one to rounding, also in a training
    that one process began. Batch norms see a process's share of a batch, so curves are near.
    """
    whole = face_set(num_groups=16, num_faked=16)
    faces = replace(whole, images=np.ascontiguousarray(whole.images[:, 8:56, 8:56]))
    plain = params(variant="rgb", backbone="test_efficientnet_gn", **SMALL)
    normed = params(variant="stacked", **SMALL)
    one, two = tmp_path / "one", tmp_path / "two"
    train = _script().train
    with _one_thread():
        train(one / "plain", faces, plain, context=ALONE)
        train(one / "normed", faces, normed, context=ALONE)
        with pytest.raises(KilledError):
            train(two / "begun", faces, plain, context=ALONE, on_epoch=_kill)
    jobs = {"plain": plain, "begun": plain, "normed": normed, "killed": normed}
    _together(two, faces, jobs, deadly="killed")
    assert not (two / "killed" / "history-0.json").exists()
    _together(two, faces, {"killed": normed})

    for name in jobs:
        assert _history(two / name) == _history(two / name, rank=1)
        mine, theirs = _weights(two / name), _weights(two / name, rank=1)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    for name in ("plain", "begun"):
        for mine, theirs in zip(_history(one / "plain"), _history(two / name), strict=True):
            assert theirs == pytest.approx(mine, rel=1e-5)
        for key, tensor in _weights(one / "plain").items():
            assert torch.allclose(_weights(two / name)[key], tensor, atol=1e-4), (name, key)
    for mine, theirs in zip(_history(one / "normed"), _history(two / "normed"), strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=0.06)
    # A death changes nothing, to the bit.
    assert _history(two / "killed") == _history(two / "normed")
    mine, theirs = _weights(two / "killed"), _weights(two / "normed")
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
