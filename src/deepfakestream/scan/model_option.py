"""The model that a command works with: the one inside the package, or a folder that `--model` names."""

from __future__ import annotations

from pathlib import Path

from deepfakestream.errors import ParamsError
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scan.engine import ScanEngine, open_engine
from deepfakestream.settings import load_settings

CUSTOM_VERSION = "unregistered"
"""Version that a model folder given by hand has in results."""


def open_chosen(
    model_dir: Path | None, operating_point: str, budget: MediaBudget | None = None
) -> tuple[Path, ScanEngine]:
    """Return the folder of the model and an engine for it; None takes the model inside the package.

    Raises:
        ParamsError: there is no such folder, or the operating point is unknown.
        WeightsError: the model folder is incomplete or damaged.
    """
    if model_dir is None:
        directory, version = packaged_model_dir(), PACKAGED_VERSION
    elif model_dir.is_dir():
        directory, version = model_dir, CUSTOM_VERSION
    else:
        raise ParamsError(
            f"--model {model_dir}: no such folder; name a folder with model.safetensors and spec.json"
        )
    return directory, open_engine(directory, version, load_settings(), operating_point, budget=budget)
