"""Sections `drift` and `retrain` of params.yaml."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from deepfakestream.sections import Positive, Section, Share


class DriftParams(Section):
    """When the newest predictions count as drifted from the champion's reference."""

    window_size: Positive = 200
    min_window: Positive = 30
    num_threshold: float = Field(0.2, gt=0.0)
    share_threshold: Share = 0.15
    max_client_share: Share = 0.5

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_window > self.window_size:
            raise ValueError("min_window needs to be at most window_size")
        return self


class RetrainParams(Section):
    """When drift may start a retraining."""

    windows: tuple[Positive, Positive] = (2, 3)
    cooldown_h: float = Field(24.0, ge=0.0)
    max_per_week: Positive = 2

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.windows[0] > self.windows[1]:
            raise ValueError("windows [n, m] needs n <= m")
        return self
