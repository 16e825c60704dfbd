"""What moves the weights: timm's optimisers and schedules by name, mixed precision, clipped gradients."""

from __future__ import annotations

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from deepfakestream.errors import ParamsError
from deepfakestream.training.params import OptimisationParams

MAX_GRADIENT_NORM = 5.0
LOWEST_SHARE = 0.01
"""Of the peak learning rate: where warm-up starts and where schedules end."""


def create_optimizer(network: nn.Module, params: OptimisationParams) -> Optimizer:
    """Return timm's optimiser of that name; biases and norms are not decayed.

    Args:
        network: to train.
        params: section `train.optimisation`.

    Raises:
        ParamsError: timm has no optimiser of that name, or it needs more than gradients or another package.
    """
    name = params.optimizer
    if name not in list_optimizers():
        raise ParamsError(
            f"train.optimisation.optimizer: timm has no optimiser '{name}'; take e.g. adamw, lamb, sgd or "
            "lion (timm.optim.list_optimizers() names all)"
        )
    if get_optimizer_info(name).second_order:
        raise ParamsError(
            f"train.optimisation.optimizer: '{name}' needs second derivatives; take e.g. adamw or lamb"
        )
    try:
        optimizer = create_optimizer_v2(
            network,
            opt=name,
            lr=params.learning_rate,
            weight_decay=params.weight_decay,
        )
    except (ImportError, AssertionError, NameError) as error:
        raise ParamsError(
            f"train.optimisation.optimizer: '{name}' cannot be used here ({error}); take e.g. adamw or lamb"
        ) from error
    return optimizer


def create_schedule(optimizer: Optimizer, params: OptimisationParams, *, num_steps: int) -> Scheduler:
    """Return a schedule of the learning rate by step: a linear warm-up, then the named fall to a hundredth.

    `poly` falls in a straight line, `constant` stays at the peak.

    Args:
        optimizer: whose rate it sets.
        params: section `train.optimisation`.
        num_steps: of the whole training.
    """
    schedule: Scheduler | None
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="step" if params.scheduler == "constant" else params.scheduler,
        num_epochs=num_steps,
        decay_epochs=num_steps,
        decay_rate=1.0,  # of `step`: no fall at all; of `poly`: its power
        warmup_epochs=int(params.warmup_share * num_steps),
        warmup_lr=params.learning_rate * LOWEST_SHARE,
        min_lr=params.learning_rate * LOWEST_SHARE,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    assert schedule is not None
    return schedule


class Precision:
    """The number format of the forward pass, and the steps that go with it."""

    def __init__(self, wanted: str, device: torch.device) -> None:
        """Choose the format.

        Args:
            wanted: `auto` (bfloat16 on a GPU, else single precision), `off`, `bf16` or `fp16`.
            device: where the network runs.

        Raises:
            ParamsError: the device cannot compute in that format.
        """
        self.dtype = _dtype(wanted, device)
        self._device = device
        # Half precision loses small gradients, so the loss is scaled up and gradients down again.
        self._scaler = torch.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> torch.autocast:
        """Return the context to run the network in."""
        return torch.autocast(self._device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def step(self, loss: Tensor, network: nn.Module, optimizer: Optimizer) -> None:
        """Make one step down the loss's gradient, which is clipped at norm 5.

        Args:
            loss: of the batch, a scalar `()`.
            network: whose gradients are clipped.
            optimizer: of its weights.
        """
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, object]:
        """Return the state that a resumed training needs."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from a saved state."""
        self._scaler.load_state_dict(state)


def processor_has_bf16() -> bool:
    """Return whether this processor computes in bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def _dtype(wanted: str, device: torch.device) -> torch.dtype:
    on_gpu = device.type == "cuda"
    if wanted == "off" or (wanted == "auto" and not on_gpu):
        return torch.float32
    if wanted == "fp16":
        if not on_gpu:
            raise ParamsError("train.extra.amp: 'fp16' needs a GPU; set it to auto, off or bf16")
        return torch.float16
    has_bf16 = torch.cuda.is_bf16_supported() if on_gpu else processor_has_bf16()
    if has_bf16:
        return torch.bfloat16
    if wanted == "auto":
        return torch.float16
    raise ParamsError(f"train.extra.amp: this {device.type} does not compute in bf16; set it to auto or off")
