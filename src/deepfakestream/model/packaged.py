"""Version 0 of the registered model: the weights inside the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

PACKAGED_VERSION = "0"


def packaged_model_dir() -> Path:
    """Return the model folder that ships with the package."""
    return Path(str(resources.files("deepfakestream.model") / "weights"))


def named_model_dir(name: str) -> Path:
    """Return the model folder that a parameter names: `packaged`, or a path."""
    return packaged_model_dir() if name == "packaged" else Path(name)
