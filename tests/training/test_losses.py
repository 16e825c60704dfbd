from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from deepfakestream.training.losses import Loss
from deepfakestream.training.params import TrainParams

LOGITS = torch.tensor([-1.5, 0.3, 2.0, -0.4])
LABELS = torch.tensor([0.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("logit", "is_fake", "smoothing", "expected"),
    [(0.0, 0.0, 0.0, 0.6931), (0.0, 1.0, 0.4, 0.6931), (2.0, 1.0, 0.0, 0.1269), (2.0, 1.0, 0.1, 0.2269)],
)
def test_cross_entropy_by_hand(logit: float, is_fake: float, smoothing: float, expected: float) -> None:
    found = Loss(smoothing=smoothing)(torch.tensor([logit]), torch.tensor([is_fake]))
    assert found.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("logit", "is_fake", "gamma", "expected"),
    [
        (0.0, 1.0, 2.0, 0.1733),  # 0.5^2 ln 2
        (2.0, 1.0, 2.0, 0.0018),  # an easy fake hardly counts: 0.1192^2 x 0.1269
        (2.0, 0.0, 2.0, 1.6501),  # a hard real does: 0.8808^2 x 2.1269
        (2.0, 0.0, 0.0, 2.1269),  # without gamma it is the cross-entropy
    ],
)
def test_focal_by_hand(logit: float, is_fake: float, gamma: float, expected: float) -> None:
    found = Loss(kind="focal", gamma=gamma)(torch.tensor([logit]), torch.tensor([is_fake]))
    assert found.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_agrees_with_torchvision(gamma: float) -> None:
    theirs = sigmoid_focal_loss(LOGITS, LABELS, alpha=-1, gamma=gamma, reduction="mean")
    assert Loss(kind="focal", gamma=gamma)(LOGITS, LABELS).item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_weight_of_fakes(kind: Any) -> None:
    """Three times the weight is the same as each fake three times in the batch."""
    weighted = Loss(kind=kind, fake_weight=3.0)(LOGITS, LABELS)
    repeated = Loss(kind=kind)(
        torch.cat([LOGITS, LOGITS[2:], LOGITS[2:]]), torch.tensor([0.0] * 2 + [1.0] * 6)
    )
    assert weighted.item() == pytest.approx(repeated.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["bce", "focal"])
def test_sure_and_wrong_stays_finite(kind: Any) -> None:
    logits = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = Loss(kind=kind)(logits, torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_from_params(params: Callable[..., TrainParams]) -> None:
    chosen = params(loss="focal", focal_gamma=1.5, fake_weight=2.0, label_smoothing=0.1)
    assert Loss.from_params(chosen) == Loss(kind="focal", smoothing=0.1, gamma=1.5, fake_weight=2.0)


@pytest.mark.parametrize(
    "wrong", [{"loss": "hinge"}, {"focal_gamma": -1.0}, {"fake_weight": 0.0}, {"label_smoothing": 0.5}]
)
def test_wrong_parameters_are_refused(params: Callable[..., TrainParams], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        params(**wrong)
