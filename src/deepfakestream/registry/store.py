"""The MLflow store in force: SQLite in the workspace, or the server that the settings name."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from deepfakestream.errors import ParamsError, ServerError
from deepfakestream.registry.relocation import follow_workspace
from deepfakestream.telemetry import switch_off

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_TIMEOUT_S = 3.0
"""A server that takes longer to say that it is well counts as down."""

_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
_SWITCHES = {
    # A dead server must be noticed in seconds: MLflow's own default is seven retries with growing pauses.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The MLflow store of a workspace."""

    uri: str
    """Tracking server, or database."""
    experiment: str
    """Name of the experiment that runs are logged to."""
    registered_model: str
    """Name in the model registry."""
    workspace: Path
    """Folder whose commit and data version a run notes."""
    params_file: Path
    """Parameters whose digest a run notes."""
    work_dir: Path
    """Folder for the database, for fetched models and for locks."""
    artifacts_dir: Path
    """Absolute folder of run and model files where no server keeps them."""
    database: Path | None
    """SQLite file of the workspace's own store; None where `uri` leads elsewhere."""


def open_client(store: Store) -> MlflowClient:
    """Return a client of the store in force; the process's MLflow address is set to it.

    Where the workspace was moved or copied, its own store is made to name the files that are here.

    Raises:
        ServerError: the tracking server does not answer, or the store cannot be opened.
        ParamsError: the address is of a kind that MLflow cannot keep a registry in.
    """
    uri = store.uri
    if urlsplit(uri).scheme.partition("+")[0] not in _SCHEMES:
        raise ParamsError(
            f"DEEPFAKESTREAM_TRACKING_URI: '{redacted(uri)}' is no address MLflow can keep a registry in; "
            "use http(s)://, sqlite:/// or postgresql://, or unset it"
        )
    switch_off()
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if is_server(store):
        check_answers(uri)
    else:
        store.work_dir.mkdir(parents=True, exist_ok=True)
        if store.database is not None:
            follow_workspace(store.database, store.artifacts_dir)
    import mlflow

    with as_server_error(store):
        # MLflow's SQL registry asks the process-wide address for logged models, not the client's.
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def ensure_experiment(client: MlflowClient, store: Store) -> str:
    """Return the id of the experiment that runs are logged to; it is made where it is missing.

    Without a server its files go to `store.artifacts_dir`, wherever the process was started.

    Args:
        client: of the store.
        store: the MLflow store.

    Raises:
        ServerError: the experiment was deleted, or keeps its files behind a server that is not named.
    """
    with as_server_error(store):
        experiment = client.get_experiment_by_name(store.experiment)
        if experiment is None:
            location = None if is_server(store) else store.artifacts_dir.as_uri()
            return str(client.create_experiment(store.experiment, artifact_location=location))
    if experiment.lifecycle_stage == "deleted":
        raise ServerError(
            f"{redacted(store.uri)}: experiment '{store.experiment}' was deleted; "
            "restore it in MLflow or set DEEPFAKESTREAM_EXPERIMENT to another name"
        )
    if str(experiment.artifact_location).startswith("mlflow-artifacts:") and not is_server(store):
        raise ServerError(
            f"{redacted(store.uri)}: experiment '{store.experiment}' keeps its files "
            "behind a tracking server; set DEEPFAKESTREAM_TRACKING_URI to that server's address"
        )
    return str(experiment.experiment_id)


def prepare_store(store: Store) -> None:
    """Make the store and the experiment; call it before a local MLflow server opens the same store.

    The experiment then keeps its files in the workspace, so that commands work with and without the server.
    """
    ensure_experiment(open_client(store), store)


def is_server(store: Store) -> bool:
    """Tell whether the store in force is a tracking server."""
    return store.uri.startswith(("http://", "https://"))


def check_answers(address: str) -> None:
    """Return when the MLflow server at the address says that it is well.

    Raises:
        ServerError: it does not, within `ANSWER_TIMEOUT_S`.
    """
    request = urllib.request.Request(address.rstrip("/") + "/health")  # noqa: S310 - scheme checked by the caller
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):  # a server behind a login is well; MLflow's client logs in by itself
            return
        reason = f"HTTP status {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
    raise ServerError(
        f"{redacted(address)}: the MLflow tracking server does not answer ({reason}); start it, e.g. with "
        "'deepfakestream up', or unset DEEPFAKESTREAM_TRACKING_URI to use the store in the workspace"
    )


@contextmanager
def as_server_error(store: Store) -> Iterator[None]:
    """Turn what MLflow raises inside into one sentence that names the store."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, requests.RequestException, SQLAlchemyError) as error:
        summary = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise ServerError(
            f"{redacted(store.uri)}: MLflow refused ({summary}); check the store or server and try again"
        ) from error


def answer_or_none(store: Store, ask: Callable[[], Answer]) -> Answer | None:
    """Return what MLflow answers, or None where it says that the thing asked for does not exist.

    Args:
        store: the MLflow store.
        ask: asks MLflow.

    Raises:
        ServerError: MLflow refuses for another reason, or does not answer.
    """
    from mlflow.exceptions import MlflowException

    with as_server_error(store):
        try:
            return ask()
        except MlflowException as error:
            if error.error_code in _MISSING:
                return None
            raise


def redacted(uri: str) -> str:
    """Return the address without a user name or password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc.rpartition('@')[0]}@", "***@") if "@" in parts.netloc else uri
