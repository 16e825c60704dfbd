"""Several processes that train one network: `torchrun` starts them, gradients are averaged between them.

A process that trains alone has a world of size 1, and nothing here does anything. Otherwise each process
takes its part of every batch, so that together they see the very batches that one process would see.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from deepfakestream.errors import ParamsError

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another before it gives up; a dead one is noticed at once by `torchrun`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedContext:
    """The processes of one training, seen from one of them."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports; one of the context does."""
        return self.rank == 0

    def per_rank_batch_size(self, batch: int, *, what: str) -> int:
        """Return this process's part of a batch.

        Args:
            batch: size of the batch of all processes.
            what: key of `params.yaml` for the error message.

        Raises:
            ParamsError: the batch cannot be divided evenly.
        """
        if batch % self.size:
            raise ParamsError(
                f"{what} must be divisible by the {self.size} processes; change it or their number"
            )
        return batch // self.size

    def replicate(self, network: nn.Module) -> nn.Module:
        """Return the network to run forwards: its gradients are averaged over the processes."""
        if self.size == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids)

    def average_statistics(self, network: nn.Module) -> None:
        """Set the running statistics of batch norms to their mean over the processes."""
        if self.size == 1:
            return
        running = [b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
        if running:
            flat = torch.cat([buffer.flatten() for buffer in running])
            distributed.all_reduce(flat)
            parts = torch.split(flat / self.size, [buffer.numel() for buffer in running])
            for buffer, part in zip(running, parts, strict=True):
                buffer.copy_(part.view_as(buffer))

    def mean(self, value: Tensor) -> float:
        """Return the mean of a number over the processes.

        Args:
            value: a single number, `()`.
        """
        total = value.detach().double().to(self.device).clone()
        if self.size > 1:
            distributed.all_reduce(total)
        return float(total) / self.size

    def scores(
        self, score: Callable[[NDArray[np.uint8]], NDArray[np.float64]], images: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """Return the score of every picture, each computed by one process and known to all.

        Args:
            score: scores pictures `(N, S, S, 3)`.
            images: `(N, S, S, 3)`, RGB, 0-255.
        """
        if self.size == 1:
            return score(images)
        own = images[self.rank :: self.size]
        together = np.empty(len(images))
        for rank, part in enumerate(self.gather(score(own) if len(own) else np.empty(0))):
            together[rank :: self.size] = part
        return together

    def gather(self, share: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return every process's share, known to all, in the order of ranks.

        Args:
            share: `(n,)`; its length may differ between processes.
        """
        if self.size == 1:
            return [share]
        shares: list[Any] = [None] * self.size
        distributed.all_gather_object(shares, share)
        return shares

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value, so that all processes decide alike."""
        if self.size == 1:
            return value
        holder = [value]
        distributed.broadcast_object_list(holder, src=0)
        return holder[0]


@contextmanager
def init_distributed(device: str) -> Iterator[DistributedContext]:
    """Give the processes that `torchrun` announced in the environment, or this one alone.

    On GPUs each process takes the one of its local rank and speaks NCCL, else Gloo.

    Args:
        device: `cpu` or `cuda`.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield DistributedContext(device=torch.device(device))
        return
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if own.type == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield DistributedContext(device=own, rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()


def processes_here() -> int:
    """Return how many processes of the training share this machine's cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
