"""Losses of one logit a face: cross-entropy or focal loss, with smoothed targets and weighted classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from deepfakestream.training.params import TrainParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The mean loss of a batch.

    `focal` multiplies each face's cross-entropy by `(1 - p)^gamma`, where `p` is the probability given to its
    class: what is easy already counts less (Lin et al., "Focal Loss for Dense Object Detection", 2017). With
    smoothed targets `p` is the one given to the class that the target leans to.
    """

    kind: Literal["bce", "focal"] = "bce"
    smoothing: float = 0.0
    """How far targets are drawn towards even odds: 0.1 makes them 0.05 and 0.95."""
    gamma: float = 2.0
    fake_weight: float = 1.0
    """How much more an error on a fake counts than one on a real; the mean is weighted."""

    @classmethod
    def from_params(cls, params: TrainParams) -> Self:
        """Return the loss that the parameters describe."""
        return cls(
            kind=params.extra.loss,
            smoothing=params.optimisation.label_smoothing,
            gamma=params.extra.focal_gamma,
            fake_weight=params.extra.fake_weight,
        )

    def __call__(self, logits: Tensor, is_fake: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits `(N,)` against labels `(N,)` of 0.0 (real) and 1.0 (fake)."""
        targets = is_fake * (1.0 - self.smoothing) + 0.5 * self.smoothing
        each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.kind == "focal":
            of_the_other = torch.sigmoid(torch.where(is_fake > 0.5, -logits, logits))
            each = each * of_the_other**self.gamma
        weights = torch.where(is_fake > 0.5, self.fake_weight, 1.0)
        return (weights * each).sum() / weights.sum()
