"""Every page of the system, in one list for people."""

from __future__ import annotations

from deepfakestream.settings import Settings

_TRAINING_VIEW = "workflowType=machine_learning"
"""Opens MLflow where runs and models are; its other view is for language models."""


def pages(settings: Settings) -> list[str]:
    """Return a line for each page that can be opened now: what it shows, and its address or file.

    Args:
        settings: that reach the servers.
    """
    mlflow, prefect = settings.mlflow_page_url, settings.prefect_page_url
    found = {
        "scan files": settings.service_url,
        "API of the service": f"{settings.service_url}/docs",
        "runs of training": f"{mlflow}/#/experiments?{_TRAINING_VIEW}",
        "model versions": f"{mlflow}/#/models/{settings.registered_model}?{_TRAINING_VIEW}",
        "flow runs": f"{prefect}/runs",
        "schedules": f"{prefect}/deployments",
        "automations": f"{prefect}/automations",
        "drift over time": settings.drift_page_url,
    }
    files = {
        "drift report": settings.artifacts_dir / "drift" / "report.html",
        "evaluation report": settings.evaluate_dir / "report.html",
        "data rules": settings.validate_dir / "data_docs" / "index.html",
        "alerts": settings.alerts_dir,
    }
    found |= {shown: str(path.resolve()) for shown, path in files.items() if path.exists()}
    width = max(map(len, found))
    return [f"{shown:<{width}}  {address}" for shown, address in found.items()]
