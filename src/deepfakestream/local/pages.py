"""Every page of the system, in one list for people."""

from __future__ import annotations

import os
from collections.abc import Mapping

from deepfakestream.settings import Settings

_TRAINING_VIEW = "workflowType=machine_learning"
"""Opens MLflow where runs and models are; its other view is for language models."""


def pages(settings: Settings, addresses: Mapping[str, str]) -> list[str]:
    """Return a line for each page that can be opened now: what it shows, and its address or file.

    Args:
        settings: of the workspace; a tracking server or Prefect server that they name is taken to run.
        addresses: server name to address, of the local servers that run.
    """
    found: dict[str, str] = {}
    if "service" in addresses:
        found |= {"scan files": addresses["service"], "API of the service": f"{addresses['service']}/docs"}
    remote_mlflow = settings.mlflow_page_url if settings.mlflow_page_url != settings.mlflow_url else None
    if mlflow := addresses.get("mlflow") or remote_mlflow:
        found |= {
            "runs of training": f"{mlflow}/#/experiments?{_TRAINING_VIEW}",
            "model versions": f"{mlflow}/#/models/{settings.registered_model}?{_TRAINING_VIEW}",
        }
    if prefect := addresses.get("prefect") or os.environ.get("PREFECT_API_URL", "").removesuffix("/api"):
        found |= {
            "flow runs": f"{prefect}/runs",
            "schedules": f"{prefect}/deployments",
            "automations": f"{prefect}/automations",
        }
    if "evidently" in addresses:
        found["drift over time"] = addresses["evidently"]
    files = {
        "drift report": settings.artifacts_dir / "drift" / "report.html",
        "evaluation report": settings.evaluate_dir / "report.html",
        "data rules": settings.validate_dir / "data_docs" / "index.html",
        "alerts": settings.alerts_dir,
    }
    found |= {shown: str(path.resolve()) for shown, path in files.items() if path.exists()}
    width = max(map(len, found), default=0)
    return [f"{shown:<{width}}  {address}" for shown, address in found.items()]
