"""Section `promote` of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deepfakestream.sections import Positive, Section, Share


class PromoteParams(Section):
    """What a challenger must show before it becomes champion."""

    min_auc: Share = 0.5
    max_ece: Share = 0.5
    min_groups: Positive = 20
    min_new_items: Positive = 100
    auc_margin: Share = 0.01
    approval: Literal["automatic", "manual"] = "automatic"
    confidence: float = Field(0.975, gt=0.5, lt=1.0)
