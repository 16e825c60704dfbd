"""Switches that keep every library quiet: nothing phones home unless the environment says otherwise."""

from __future__ import annotations

import os

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "HF_HUB_OFFLINE": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime reads it when it is imported, and never again
}


def switch_off() -> None:
    """Set each switch that the environment does not already set."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
