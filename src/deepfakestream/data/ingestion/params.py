"""Section `ingest` of params.yaml."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from deepfakestream.sections import Section, Share


class SplitFractions(Section):
    """Share of the source groups that each split gets."""

    train: Share = 0.7
    val: Share = 0.15
    test: Share = 0.15

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if abs(self.train + self.val + self.test - 1.0) > 1e-6:
            raise ValueError("train + val + test must add up to 1")
        return self


class IngestParams(Section):
    """What may enter the dataset, and how its groups are split."""

    min_duration_s: float = Field(0.2, ge=0.0)
    split_fractions: SplitFractions = SplitFractions()
    split_salt: str = "v1"
