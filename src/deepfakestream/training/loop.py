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
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from deepfakestream.errors import DivergedError, ParamsError
from deepfakestream.host.progress import progress_bar
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distillation import Teacher
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.loading import pair_loader
from deepfakestream.training.losses import Loss
from deepfakestream.training.optimisation import Precision, create_optimizer, create_schedule
from deepfakestream.training.pairs import DrawSampler, PairDataset
from deepfakestream.training.params import TrainParams
from deepfakestream.training.validation import LabelledImages, measure_kinds

EpochMetrics = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """The chosen network and how it came about."""

    network: DetectorNetwork
    best_epoch: int
    history: tuple[EpochMetrics, ...]


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What a checkpoint holds besides networks and optimiser."""

    epoch: int = 0
    best_epoch: int = -1
    best_auc: float = -1.0
    best_weights: dict[str, Tensor] | None = None
    history: list[EpochMetrics] | None = None


def draws_an_epoch(params: TrainParams, num_reals: int) -> int:
    """Return how many pairs an epoch draws: whole batches, but for a dataset smaller than one.

    A rest would leave some processes of a context a batch more than others.

    Args:
        params: of the training.
        num_reals: number of real faces.
    """
    num_pairs = params.optimisation.batch_size // 2
    num_draws = params.optimisation.steps_per_epoch * num_pairs or num_reals
    return num_draws if num_draws < num_pairs else num_draws - num_draws % num_pairs


class Trainer:
    """Fits one network on one set of pairs, alone or as one process of a context."""

    def __init__(
        self,
        network: DetectorNetwork,
        pairs: PairDataset,
        params: TrainParams,
        *,
        seed: int,
        context: DistributedContext,
        teacher: Teacher | None = None,
    ) -> None:
        """Prepare a training; with a teacher its odds are learnt besides the labels.

        Args:
            network: is trained in place.
            pairs: of reals and fakes.
            params: of the training.
            seed: of draws and order.
            context: the processes that train together.
            teacher: whose odds are learnt besides the labels.

        Raises:
            ParamsError: optimiser, number format or batch size do not fit timm, the device or the context.
        """
        self._params = params
        self._seed = seed
        self._context = context
        num_pairs = params.optimisation.batch_size // 2
        num_draws = draws_an_epoch(params, len(pairs))
        if context.size > 1 and num_draws < num_pairs:
            raise ParamsError(
                f"train.optimisation.batch_size: an epoch has only {num_draws} pairs to share; lower it to "
                f"{2 * num_draws}"
            )
        self._sampler = DrawSampler(pairs, num_draws=num_draws, seed=seed, share=(context.rank, context.size))
        self._loader = pair_loader(
            pairs,
            self._sampler,
            batch_size=context.per_rank_batch_size(num_pairs, what="half of train.optimisation.batch_size"),
            num_workers=params.samples.num_workers,
        )
        self._network = network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._replica = context.replicate(self._network)
        self._ema = ModelEmaV3(self._network, decay=params.optimisation.ema_decay, use_warmup=True)
        self._loss = Loss.from_params(params)
        self._teacher = teacher
        self._precision = Precision(params.extra.amp, context.device)
        num_steps = params.optimisation.epochs * len(self._loader)
        self._optimizer = create_optimizer(self._network, params.optimisation)
        self._schedule = create_schedule(self._optimizer, params.optimisation, num_steps=num_steps)

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
            on_epoch: called with every epoch, those before a restart included.

        Raises:
            DivergedError: the loss or a validation score is no longer a number.
            DataError: the checkpoint is damaged.
        """
        progress = self._resume(checkpoints)
        assert progress.history is not None
        for epoch, metrics in enumerate(progress.history):
            on_epoch(epoch, metrics)
        while progress.epoch < self._params.optimisation.epochs and not (
            progress.epoch - 1 - progress.best_epoch >= self._params.optimisation.early_stopping_patience
        ):
            metrics = self._epoch(progress.epoch)
            metrics |= self._context.broadcast(measure_kinds(self._averaged, validation, self._context))
            progress.history.append(metrics)
            if metrics["val_auc"] > progress.best_auc:
                progress.best_auc, progress.best_epoch = metrics["val_auc"], progress.epoch
                progress.best_weights = copy.deepcopy(_trained_state(self._averaged, self._network))
            on_epoch(progress.epoch, metrics)
            progress.epoch += 1
            if self._context.is_main:
                checkpoints.save(self._state(progress))
        assert progress.best_weights is not None
        best = self._averaged
        best.load_state_dict(progress.best_weights, strict=False)
        return FitResult(network=best, best_epoch=progress.best_epoch, history=tuple(progress.history))

    @property
    def _averaged(self) -> DetectorNetwork:
        network = self._ema.module
        assert isinstance(network, DetectorNetwork)
        return network

    def _epoch(self, epoch: int) -> EpochMetrics:
        # Dropout of an epoch follows from (seed, epoch), so that a restart repeats what a kill cut off.
        torch.manual_seed(self._seed + epoch + 1_000_003 * self._context.rank)
        self._network.train()
        self._sampler.epoch = epoch
        started = time.monotonic()
        losses = []
        num_faces = 0
        batches: Iterable[NDArray[np.uint8]] = progress_bar(
            self._loader,
            description=f"epoch {epoch + 1}/{self._params.optimisation.epochs}",
            total=len(self._loader),
            unit="batch",
        )
        for step, pairs in enumerate(batches, start=epoch * len(self._loader)):
            losses.append(self._step(pairs))
            num_faces += 2 * len(pairs) * self._context.size
            self._schedule.step_update(step + 1)
            self._ema.update(self._network, step=step)
        train_loss = self._context.mean(torch.stack(losses).mean())
        if not math.isfinite(train_loss):
            raise DivergedError(
                f"train.optimisation.learning_rate: training diverged in epoch {epoch + 1}: the loss is "
                f"{train_loss}; lower the rate"
            )
        return {
            "train_loss": train_loss,
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "faces_per_s": num_faces / (time.monotonic() - started),
        }

    def _step(self, pairs: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(pairs).to(self._context.device).flatten(0, 1).float()
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        is_fake = torch.tensor([0.0, 1.0], device=self._context.device).repeat(len(pairs))
        with self._precision.autocast():
            logits = self._replica(pixels)
        loss = self._loss(logits.float(), is_fake)
        if self._teacher is not None:
            loss = self._teacher.blend(loss, logits.float(), pixels)
        self._precision.step(loss, self._network, self._optimizer)
        self._context.average_statistics(self._network)
        return loss.detach()

    def _state(self, progress: _Progress) -> dict[str, Any]:
        return {
            "network": _trained_state(self._network, self._network),
            "averaged": _trained_state(self._ema.module, self._network),
            "optimizer": self._optimizer.state_dict(),
            "precision": self._precision.state_dict(),
            "progress": {name: getattr(progress, name) for name in progress.__slots__},
        }

    def _resume(self, checkpoints: CheckpointStore) -> _Progress:
        state = checkpoints.load()
        if state is None:
            return _Progress(history=[])
        self._network.load_state_dict(state["network"], strict=False)
        self._ema.module.load_state_dict(state["averaged"], strict=False)
        self._optimizer.load_state_dict(state["optimizer"])
        self._precision.load_state_dict(state["precision"])
        return _Progress(**state["progress"])


def _trained_state(network: nn.Module, trained: nn.Module) -> dict[str, Tensor]:
    """Return the network's state without what training leaves as it was: a tower is 2,000 times larger."""
    frozen = {name for name, each in trained.named_parameters() if not each.requires_grad}
    return {name: each for name, each in network.state_dict().items() if name not in frozen}
