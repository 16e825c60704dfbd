"""The training loop: pairs in, the best epoch's averaged weights out; it stops early and resumes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.nn import functional

from deepfakestream.errors import ParamsError
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.params import TrainParams
from deepfakestream.progress import track
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.loading import pair_loader
from deepfakestream.training.pairs import DrawSampler, PairDataset
from deepfakestream.training.validation import LabelledImages, measure_kinds

EpochMetrics = dict[str, float]
MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """The chosen network and how it came about."""

    network: DetectorNetwork
    best_epoch: int
    history: tuple[EpochMetrics, ...]


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What a checkpoint holds besides networks and optimizer."""

    epoch: int = 0
    best_epoch: int = -1
    best_auc: float = -1.0
    best_weights: dict[str, Tensor] | None = None
    history: list[EpochMetrics] | None = None


class Trainer:
    """Fits one network on one set of pairs."""

    def __init__(
        self,
        network: DetectorNetwork,
        pairs: PairDataset,
        params: TrainParams,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._params = params
        self._seed = seed
        self._device = device
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pairs_per_batch = params.batch_size // 2
        num_draws = params.steps_per_epoch * self._pairs_per_batch or len(pairs)
        self._sampler = DrawSampler(pairs, num_draws=num_draws, seed=seed)
        self._loader = pair_loader(
            pairs,
            self._sampler,
            batch_size=self._pairs_per_batch,
            num_workers=params.num_workers,
            drop_last=num_draws >= self._pairs_per_batch,
        )
        self._ema = ModelEmaV3(self._network, decay=params.ema_decay, use_warmup=True)
        self._optimizer = create_optimizer_v2(
            self._network, opt="adamw", lr=params.learning_rate, weight_decay=params.weight_decay
        )
        total = params.epochs * len(self._loader)
        self._scheduler = CosineLRScheduler(
            self._optimizer,
            t_initial=total,
            lr_min=params.learning_rate / 100,
            warmup_t=int(params.warmup_share * total),
            warmup_lr_init=params.learning_rate / 100,
            t_in_epochs=False,
        )

    def fit(
        self,
        validation: dict[str, LabelledImages],
        checkpoints: CheckpointStore,
        on_epoch: Callable[[int, EpochMetrics], None],
    ) -> FitResult:
        """Train until the last epoch or until validation stops improving; return the best epoch's weights.

        Args:
            validation: pictures to choose the epoch on, by kind; at least one kind.
            checkpoints: where a killed training left its last epoch, and this one leaves each of its own.
            on_epoch: told of every epoch, those before a restart included.

        Raises:
            ParamsError: training diverged.
        """
        progress = self._resume(checkpoints)
        assert progress.history is not None
        for epoch, metrics in enumerate(progress.history):
            on_epoch(epoch, metrics)
        while progress.epoch < self._params.epochs and not self._stale(progress):
            metrics = self._epoch(progress.epoch)
            metrics |= measure_kinds(self._averaged, validation, self._device)
            progress.history.append(metrics)
            if metrics["val_auc"] > progress.best_auc:
                progress.best_auc, progress.best_epoch = metrics["val_auc"], progress.epoch
                progress.best_weights = copy.deepcopy(self._averaged.state_dict())
            on_epoch(progress.epoch, metrics)
            progress.epoch += 1
            checkpoints.save(self._state(progress))
        assert progress.best_weights is not None
        best = self._averaged
        best.load_state_dict(progress.best_weights)
        return FitResult(network=best, best_epoch=progress.best_epoch, history=tuple(progress.history))

    @property
    def _averaged(self) -> DetectorNetwork:
        network = self._ema.module
        assert isinstance(network, DetectorNetwork)
        return network

    def _epoch(self, epoch: int) -> EpochMetrics:
        # Dropout of an epoch follows from (seed, epoch), so that a restart repeats what a kill cut off.
        torch.manual_seed(self._seed + epoch)
        self._network.train()
        self._sampler.epoch = epoch
        started = time.monotonic()
        losses = []
        num_faces = 0
        batches: Iterable[NDArray[np.uint8]] = track(
            self._loader, description=f"epoch {epoch + 1}/{self._params.epochs}", unit="batch"
        )
        for step, pairs in enumerate(batches):
            losses.append(self._step(pairs))
            num_faces += 2 * len(pairs)
            self._scheduler.step_update(epoch * len(self._loader) + step + 1)
            self._ema.update(self._network, step=epoch * len(self._loader) + step)
        train_loss = float(torch.stack(losses).mean())
        if not math.isfinite(train_loss):
            raise ParamsError(
                f"train.learning_rate: training diverged in epoch {epoch + 1} (loss {train_loss}); lower it"
            )
        return {
            "train_loss": train_loss,
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "faces_per_s": num_faces / (time.monotonic() - started),
        }

    def _step(self, pairs: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(pairs).to(self._device).flatten(0, 1).float()
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_fake = torch.tensor([0.0, 1.0], device=self._device).repeat(len(pairs))
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self._network(pixels)
        loss = smoothed_loss(logits.float(), is_fake, self._params.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        return loss.detach()

    def _stale(self, progress: _Progress) -> bool:
        return progress.epoch - 1 - progress.best_epoch >= self._params.early_stopping_patience

    def _state(self, progress: _Progress) -> dict[str, Any]:
        return {
            "network": self._network.state_dict(),
            "averaged": self._ema.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": {name: getattr(progress, name) for name in progress.__slots__},
        }

    def _resume(self, checkpoints: CheckpointStore) -> _Progress:
        state = checkpoints.load()
        if state is None:
            return _Progress(history=[])
        self._network.load_state_dict(state["network"])
        self._ema.module.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        return _Progress(**state["progress"])


def smoothed_loss(logits: Tensor, is_fake: Tensor, smoothing: float) -> Tensor:
    """Return the mean binary cross-entropy with targets drawn towards even odds by `smoothing`."""
    targets = is_fake * (1.0 - smoothing) + 0.5 * smoothing
    return functional.binary_cross_entropy_with_logits(logits, targets)
