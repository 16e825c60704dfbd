"""Evidently's pages over the workspace's drift checks, as a server starts them."""

from __future__ import annotations

from typing import Any

from deepfakestream.host.locks import in_turn
from deepfakestream.monitoring.drift_history import DriftHistory
from deepfakestream.pipeline.drift import LOCK_FILE
from deepfakestream.settings import load_settings


def create_app() -> Any:
    """Return the ASGI application for the workspace of this process's settings."""
    settings = load_settings()
    history = DriftHistory(settings.drift_history_dir, settings.drift_project_id, settings.registered_model)
    with in_turn(settings.work_dir / LOCK_FILE, notice="a drift check runs; waiting for it"):
        return history.pages()
