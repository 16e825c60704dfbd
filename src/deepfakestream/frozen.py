"""Bases of the values that are written to files or answered over HTTP."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: it is checked when it is made, and never changes."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Strict(Frozen):
    """A value that people or other programs write: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")
