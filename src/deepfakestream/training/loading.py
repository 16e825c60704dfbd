"""Batches of pairs, made by processes of their own while the network learns from the last ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from deepfakestream.training.pairs import PairDataset

PREFETCHED_BATCHES = 4
"""Batches that each worker makes ahead."""


def pair_loader(
    pairs: PairDataset, sampler: Sampler[int], *, batch_size: int, num_workers: int
) -> DataLoader[Tensor]:
    """Return a loader of uint8 arrays `(batch_size, 2, 3, S, S)`, the same for any number of workers.

    Workers live until the loader is dropped: an epoch does not pay for their start. They are spawned, because
    a process that has run a Prefect flow, ONNX Runtime or PyAV holds threads and exit hooks that do not
    survive a fork. Batches come through pipes: shared memory is small in containers.

    Args:
        pairs: to draw from.
        sampler: order and random numbers of the draws.
        batch_size: pairs a batch.
        num_workers: processes that load; 0: this one.
    """
    return DataLoader(
        pairs,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_single_thread,
        multiprocessing_context="spawn" if num_workers else None,
        persistent_workers=num_workers > 0,
        prefetch_factor=PREFETCHED_BATCHES if num_workers else None,
        # Its own: the loader would draw a number from the stream of dropout whenever workers start.
        generator=torch.Generator(),
    )


def _collate(items: Sequence[Tensor]) -> NDArray[np.uint8]:
    return np.stack([item.numpy() for item in items])


def _single_thread(_: int) -> None:
    """Keep each worker to its own core: OpenCV and torch would otherwise start a thread a core in each."""
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
