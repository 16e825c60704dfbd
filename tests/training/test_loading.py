from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loading import pair_loader
from deepfakestream.training.mapped import open_mapped
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import FakeMix

MIX = FakeMix(dataset=0.4, self_blend=0.4, swap=0.2)


@pytest.fixture
def pairs(face_set: Callable[..., FaceSet], tmp_path: Path) -> PairDataset:
    """Pairs whose pictures map a file, as in a real training."""
    faces = face_set()
    np.save(tmp_path / "images.npy", faces.images)
    mapped = replace(faces, images=open_mapped(tmp_path / "images.npy"))
    return PairDataset(mapped, PairSpec(mix=MIX, augment="full", seed=7))


@pytest.fixture
def refuses_to_exit() -> Iterator[None]:
    """An exit hook of a thread that a forked copy lacks, as Prefect leaves it behind after a flow."""
    here = multiprocessing.current_process().pid

    def hook() -> None:
        assert multiprocessing.current_process().pid == here, "a copy of this process was made by fork"

    threading._register_atexit(hook)  # type: ignore[attr-defined]
    yield
    threading._threading_atexits[:] = [  # type: ignore[attr-defined]
        kept
        for kept in threading._threading_atexits  # type: ignore[attr-defined]
        if getattr(kept, "func", None) is not hook
    ]


def _epochs(pairs: PairDataset, *, num_workers: int) -> list[np.ndarray]:
    sampler = DrawSampler(pairs, num_draws=6, seed=1)
    loader = pair_loader(pairs, sampler, batch_size=2, num_workers=num_workers)
    batches: list[np.ndarray] = []
    for sampler.epoch in range(2):
        batches += list(loader)  # type: ignore[arg-type]
    return batches


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_starting_to_load_leaves_dropout_as_it_is(pairs: PairDataset, num_workers: int) -> None:
    """Workers start once a process: a restart would otherwise train with another dropout than went on."""
    loader = pair_loader(
        pairs, DrawSampler(pairs, num_draws=2, seed=1), batch_size=2, num_workers=num_workers
    )
    torch.manual_seed(7)
    wanted = torch.rand(4)
    torch.manual_seed(7)
    assert len(list(loader)) == 1
    assert torch.equal(torch.rand(4), wanted)


def test_batches(pairs: PairDataset) -> None:
    batches = _epochs(pairs, num_workers=0)
    assert [(batch.shape, batch.dtype) for batch in batches] == [((2, 2, 3, 64, 64), np.uint8)] * 6


@pytest.mark.slow
def test_workers_change_nothing_and_leave_nothing(pairs: PairDataset, refuses_to_exit: None) -> None:
    before = set(multiprocessing.active_children())
    alone, shared = (_epochs(pairs, num_workers=workers) for workers in (0, 2))
    assert all(np.array_equal(one, other) for one, other in zip(alone, shared, strict=True))
    assert set(multiprocessing.active_children()) <= before
