"""Sections `drift` and `retrain` of params.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from deepfakestream.sections import Positive, Section, Share

_CRON_FIELD = re.compile(r"[\d*/,\-A-Za-z#?]+")


def _check_cron(text: str) -> str:
    if text and not (len(text.split()) == 5 and all(_CRON_FIELD.fullmatch(part) for part in text.split())):
        raise ValueError("needs five fields: minute hour day month weekday, e.g. '0 3 * * 0'; '' for none")
    return text


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no time zone; use a name such as UTC or Europe/Vienna")
    return name


Cron = Annotated[str, AfterValidator(_check_cron)]
"""Five fields of a crontab, or nothing: no schedule."""


class DriftParams(Section):
    """When the drift check runs, and when predictions count as drifted from the champion's reference."""

    cron: Cron = "7 * * * *"
    window_size: Positive = 200
    min_window: Positive = 30
    num_threshold: float = Field(0.2, gt=0.0)
    share_threshold: Share = 0.15
    strong_threshold: float = Field(0.5, gt=0.0)
    max_client_share: Share = 0.5
    embedding_alpha: float = Field(0.0005, ge=0.0, le=0.05)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_window > self.window_size:
            raise ValueError("min_window needs to be at most window_size")
        if 0.0 < self.embedding_alpha < 1e-4:
            raise ValueError("embedding_alpha needs to be at least 0.0001, or 0 to switch embeddings off")
        return self


class RetrainParams(Section):
    """When a retraining may start."""

    automatic: bool = True
    cron: Cron = "0 3 * * 0"
    time_zone: Annotated[str, AfterValidator(_check_time_zone)] = "UTC"
    min_new_items: Positive = 100
    windows: tuple[Positive, Positive] = (2, 3)
    cooldown_h: float = Field(24.0, ge=0.0)
    max_per_week: int = Field(2, ge=0)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.windows[0] > self.windows[1]:
            raise ValueError("windows [n, m] needs n <= m")
        return self
