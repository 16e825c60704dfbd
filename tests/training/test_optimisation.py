from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from deepfakestream.errors import ParamsError
from deepfakestream.training.optimisation import (
    MAX_GRADIENT_NORM,
    Precision,
    create_optimizer,
    create_schedule,
    processor_has_bf16,
)
from deepfakestream.training.params import TrainParams

MakeParams = Callable[..., TrainParams]
CPU = torch.device("cpu")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.norm(self.conv(pixels)).mean(dim=(2, 3))
        return self.head(features)  # type: ignore[no-any-return]


class TestOptimizer:
    @pytest.mark.parametrize("name", ["adamw", "lamb", "sgd", "lion", "nadamw", "rmsprop"])
    def test_any_of_timm_makes_the_loss_fall(self, params: MakeParams, name: str) -> None:
        torch.manual_seed(0)
        network = Small()
        optimizer = create_optimizer(network, params(optimizer=name, learning_rate=0.01).optimisation)
        precision = Precision("off", CPU)
        pixels, wanted = torch.randn(8, 3, 6, 6), torch.ones(8, 1)
        losses = []
        for _ in range(12):
            loss = (network(pixels) - wanted).square().mean()
            precision.step(loss, network, optimizer)
            losses.append(loss.item())
        assert losses[-1] < 0.9 * losses[0]

    def test_biases_and_norms_are_not_decayed(self, params: MakeParams) -> None:
        network = Small()
        groups = create_optimizer(network, params(weight_decay=0.3).optimisation).param_groups
        decayed = {id(p) for group in groups if group["weight_decay"] > 0 for p in group["params"]}
        assert decayed == {id(network.conv.weight), id(network.head.weight)}
        assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("adamww", "timm has no optimiser 'adamww'"),
            ("adahessian", "needs second derivatives"),
            ("bnbadam", "'bnbadam' cannot be used here"),
        ],
    )
    def test_refused(self, params: MakeParams, name: str, reason: str) -> None:
        with pytest.raises(ParamsError, match=rf"train\.optimisation\.optimizer: .*{reason}|{reason}"):
            create_optimizer(Small(), params(optimizer=name).optimisation)


class TestSchedule:
    @pytest.mark.parametrize(
        ("name", "middle", "end"),
        [
            ("cosine", 0.00101, 2e-5),
            ("poly", 0.00101, 2e-5),
            ("tanh", None, 2e-5),
            ("constant", 0.002, 0.002),
        ],
    )
    def test_rises_and_falls(self, params: MakeParams, name: str, middle: float | None, end: float) -> None:
        chosen = params(scheduler=name, warmup_share=0.1).optimisation
        optimizer = create_optimizer(Small(), chosen)
        schedule = create_schedule(optimizer, chosen, num_steps=100)
        rates = [optimizer.param_groups[0]["lr"]]
        for step in range(1, 101):
            schedule.step_update(step)
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates[0] == pytest.approx(2e-5)
        assert all(one < other for one, other in pairwise(rates[:10]))
        assert max(rates) == pytest.approx(0.002, rel=0.11)  # a fall begins under the warm-up
        assert all(one >= other for one, other in pairwise(rates[11:]))
        assert rates[100] == pytest.approx(end, rel=0.05)
        if middle is not None:
            assert rates[50] == pytest.approx(middle, rel=0.05)

    def test_without_warm_up_it_starts_at_the_peak(self, params: MakeParams) -> None:
        chosen = params(warmup_share=0.0).optimisation
        optimizer = create_optimizer(Small(), chosen)
        create_schedule(optimizer, chosen, num_steps=10)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.002)


class TestPrecision:
    @pytest.mark.parametrize("wanted", ["auto", "off"])
    def test_a_processor_computes_in_single_precision_unless_told(self, wanted: str) -> None:
        precision = Precision(wanted, CPU)
        with precision.autocast():
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32

    def test_half_precision_needs_a_gpu(self) -> None:
        with pytest.raises(ParamsError, match=r"^train\.extra\.amp: .*fp16"):
            Precision("fp16", CPU)

    def test_bfloat16_where_the_processor_has_it(self) -> None:
        if not processor_has_bf16():
            with pytest.raises(ParamsError, match=r"^train\.extra\.amp: .*bf16"):
                Precision("bf16", CPU)
            return
        precision = Precision("bf16", CPU)
        with precision.autocast():
            assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16

    def test_gradients_are_clipped(self, params: MakeParams) -> None:
        network = Small()
        optimizer = create_optimizer(network, params(optimizer="sgd").optimisation)
        Precision("off", CPU).step(1e6 * network(torch.randn(2, 3, 6, 6)).sum(), network, optimizer)
        gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        assert gradients.norm().item() == pytest.approx(MAX_GRADIENT_NORM, rel=1e-3)
