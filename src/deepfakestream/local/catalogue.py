"""The servers: how each is started, where it listens and how one knows that it is ready."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from deepfakestream.host.process_tree import program_path
from deepfakestream.settings import Settings
from deepfakestream.sqlite_url import sqlite_url
from deepfakestream.telemetry import SWITCHES

SERVICE = "bentos.service:DeepfakeStream"
FLOWS_READY = "Your deployments are being served"
WATCH_READY = "watching the flows"
WORKER_READY = "the worker takes jobs"
_PREFECT_DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server of the local system."""

    name: str
    command: tuple[str, ...]
    """Program and arguments."""
    needs: tuple[str, ...] = ()
    """Servers that must be ready before this one starts, where they are started at all."""
    port: int | None = None
    port_setting: str = ""
    ready_url: str = ""
    """Answers 200 when the server is ready."""
    ready_words: str = ""
    """For a server without a port: words in its output."""
    live_url: str = ""
    """Answers 200 while the server works; one that gives no answer for minutes is ended and started again."""
    address: str = ""
    """What a person opens."""
    environment: dict[str, str] = field(default_factory=dict)
    log_name: str = ""
    """Name of its log file without suffix, where that is not the server's."""


def mlflow_server(settings: Settings) -> ServerSpec:
    """Return the MLflow server over the workspace's SQLite store."""
    store, artifacts = settings.mlflow_store_uri, settings.mlflow_artifacts_dir
    # MLflow answers 403 to any other Host header; the port is part of the name.
    hosts = ",".join(
        f"{host}:{settings.mlflow_port}" for host in dict.fromkeys([settings.host, "127.0.0.1", "localhost"])
    )
    return ServerSpec(
        name="mlflow",
        command=_python(
            *("mlflow", "server", "--host", settings.host, "--port", str(settings.mlflow_port)),
            *("--backend-store-uri", store, "--artifacts-destination", artifacts.as_uri()),
            *("--allowed-hosts", hosts, "--workers", "1", "--uvicorn-opts", "--log-level warning"),
        ),
        port=settings.mlflow_port,
        port_setting="DEEPFAKESTREAM_MLFLOW_PORT",
        ready_url=f"{settings.mlflow_url}/health",
        live_url=f"{settings.mlflow_url}/health",
        address=settings.mlflow_url,
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def prefect_server(settings: Settings) -> ServerSpec:
    """Return the Prefect server with its scheduler, its database in the workspace."""
    return ServerSpec(
        name="prefect",
        command=_python(
            "prefect", "server", "start", "--host", settings.host, "--port", str(settings.prefect_port)
        ),
        port=settings.prefect_port,
        port_setting="DEEPFAKESTREAM_PREFECT_PORT",
        ready_url=f"{settings.prefect_api_url}/health",
        live_url=f"{settings.prefect_api_url}/health",
        address=settings.prefect_api_url.removesuffix("/api"),
        environment=prefect_environment(settings)
        | {
            _PREFECT_DATABASE: os.environ.get(_PREFECT_DATABASE)
            or sqlite_url(settings.work_dir / "prefect" / "prefect.db", driver="aiosqlite")
        },
    )


def flows_server(settings: Settings) -> ServerSpec:
    """Return the process that serves the flows' deployments."""
    return ServerSpec(
        name="flows",
        command=_python("flows.deployments"),
        needs=("mlflow", "prefect"),
        ready_words=FLOWS_READY,
        address=settings.prefect_api_url.removesuffix("/api") + "/deployments",
        # The default of 10 s spares a distant server; this one is next door.
        environment=prefect_environment(settings) | {"PREFECT_RUNNER_POLL_FREQUENCY": "2"},
    )


def watch_server(settings: Settings) -> ServerSpec:
    """Return the process that notices when nothing happens, and sends the alerts that wait."""
    return ServerSpec(
        name="watch",
        command=_python("flows.watch"),
        needs=("mlflow", "prefect"),
        ready_words=WATCH_READY,
        address="'deepfakestream alerts list'",
        environment=prefect_environment(settings),
    )


def evidently_server(settings: Settings) -> ServerSpec:
    """Return the pages of drift over time; nothing can be changed through them."""
    return ServerSpec(
        name="evidently",
        command=_python(
            *("uvicorn", "--factory", "deepfakestream.local.drift_pages:create_app", "--http", "h11"),
            *("--host", settings.host),
            *("--port", str(settings.evidently_port), "--log-level", "warning", "--no-access-log"),
        ),
        needs=("mlflow", "prefect"),  # only so that its start, 5 s of a core, does not delay theirs
        port=settings.evidently_port,
        port_setting="DEEPFAKESTREAM_EVIDENTLY_PORT",
        ready_url=f"{settings.evidently_url}/api/version",
        live_url=f"{settings.evidently_url}/api/version",
        address=settings.drift_page_url,
    )


def service_server(settings: Settings) -> ServerSpec:
    """Return the inference service."""
    return ServerSpec(
        name="service",
        command=_python(
            "bentoml", "serve", SERVICE, "--host", settings.host, "--port", str(settings.service_port)
        ),
        needs=("mlflow",),
        port=settings.service_port,
        port_setting="DEEPFAKESTREAM_SERVICE_PORT",
        ready_url=f"{settings.service_url}/readyz",
        live_url=f"{settings.service_url}/livez",
        address=settings.service_url,
        # BentoML empties a home's metrics when it starts: services on several ports must not share one.
        environment={
            "BENTOML_HOME": str((settings.work_dir / "bentoml" / str(settings.service_port)).resolve())
        },
        log_name=f"service-{settings.service_port}",
    )


def worker_server(number: int) -> ServerSpec:
    """Return a worker that takes jobs from the service's queue.

    Args:
        number: which of the machine's workers this is, from 1.
    """
    return ServerSpec(
        name=f"worker-{number}",
        command=_python("deepfakestream.cli", "work"),
        needs=("mlflow",),
        ready_words=WORKER_READY,
        address="the queue of the service",
    )


CATALOGUE: dict[str, Callable[[Settings], ServerSpec]] = {
    "mlflow": mlflow_server,
    "prefect": prefect_server,
    "flows": flows_server,
    "watch": watch_server,
    "evidently": evidently_server,
    "service": service_server,
}
"""The servers in starting order."""


def _python(*module_and_arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *module_and_arguments)


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Return what every Prefect process of this workspace needs, besides the common environment."""
    return {
        "PREFECT_HOME": str((settings.work_dir / "prefect").resolve()),
        "PREFECT_API_URL": settings.prefect_api_url,
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_PROMPT": "false",
    }


def common_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of every child: ours, quiet libraries, and these settings in full."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEEPFAKESTREAM_")}
    return SWITCHES | kept | settings.variables() | {"PATH": program_path(), "PYTHONUNBUFFERED": "1"}
