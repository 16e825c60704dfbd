"""The workspace that a flow run works in: the one that the environment of its process names."""

from __future__ import annotations

from deepfakestream.params import Params, load_params
from deepfakestream.settings import Settings, load_settings


def workspace() -> tuple[Params, Settings]:
    """Return the parameters and settings in force."""
    settings = load_settings()
    return load_params(settings.params_file), settings
