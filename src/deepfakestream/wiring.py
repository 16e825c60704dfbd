"""From settings to the values that the packages below need; they never see the settings themselves."""

from __future__ import annotations

from functools import partial

from deepfakestream.data.extraction.executors import Executor, open_executor
from deepfakestream.data.extraction.face_jobs import DetectorFactory
from deepfakestream.faces.detectors import open_detector
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.registry.store import Store
from deepfakestream.settings import Settings
from deepfakestream.sqlite_url import sqlite_url


def mlflow_store(settings: Settings) -> Store:
    """Return the MLflow store in force: SQLite in the workspace, or the server that the settings name."""
    return Store(
        uri=settings.mlflow_store_uri,
        experiment=settings.experiment,
        registered_model=settings.registered_model,
        workspace=settings.workspace,
        params_file=settings.params_file,
        work_dir=settings.work_dir,
        artifacts_dir=settings.mlflow_artifacts_dir,
        database=settings.mlflow_db if settings.mlflow_store_uri == sqlite_url(settings.mlflow_db) else None,
    )


def open_alerter(settings: Settings, *, sends: bool = True) -> Alerter:
    """Return what raises alerts in this workspace.

    Args:
        settings: of the workspace.
        sends: whether this process sends them; otherwise they wait for one that does.
    """
    return Alerter(
        settings.alerts_db,
        directory=settings.alerts_dir,
        addresses=settings.alert_addresses,
        sends=sends,
    )


def model_page(settings: Settings, version: int | str) -> str:
    """Return the address of a version's page in MLflow.

    Args:
        settings: of the workspace.
        version: number of the registered version.
    """
    name = settings.registered_model
    return f"{settings.mlflow_page_url}/#/models/{name}/versions/{version}?workflowType=machine_learning"


def run_page(settings: Settings, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page in MLflow.

    Args:
        settings: of the workspace.
        experiment_id: id of its experiment.
        run_id: id of the MLflow run.
    """
    place = f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
    return f"{settings.mlflow_page_url}/{place}"


def flow_run_page(settings: Settings, flow_run_id: str) -> str:
    """Return the address of a flow run's page in Prefect.

    Args:
        settings: of the workspace.
        flow_run_id: Prefect's id of the flow run.
    """
    return f"{settings.prefect_page_url}/runs/flow-run/{flow_run_id}"


def extraction_executor(settings: Settings) -> Executor:
    """Return the executor of face extraction; it starts nothing before it gets jobs."""
    return open_executor(
        settings.executor,
        device=settings.device,
        num_workers=settings.num_workers,
        ray_address=settings.ray_address,
    )


def detector_factory(settings: Settings, name: str) -> DetectorFactory:
    """Return a function that opens the face detector of this name, in any process.

    Args:
        settings: of the workspace.
        name: of the detector.
    """
    return partial(open_detector, name, weights=settings.retinaface_r50_weights, device=settings.device)
