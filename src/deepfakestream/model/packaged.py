"""Version 0 of the registered model: the weights inside the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

PACKAGED_VERSION = "0"


def packaged_model_dir() -> Path:
    """Return the model folder that ships with the package."""
    return Path(str(resources.files("deepfakestream.model") / "weights"))
