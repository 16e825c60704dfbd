"""Where things are: stores, ports, devices. Set by `DEEPFAKESTREAM_*` variables or `.env` in this folder.

What changes a result lives in `params.yaml` (`deepfakestream.params`); nothing here does.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from deepfakestream.errors import ParamsError
from deepfakestream.sqlite_url import sqlite_url

PREFIX = "DEEPFAKESTREAM_"
Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute_store(uri: str | None) -> str | None:
    """Return the address with the path of an SQLite file made absolute."""
    prefix = "sqlite:///"
    if uri is None or not uri.startswith(prefix) or uri.startswith(prefix + "/") or uri == prefix:
        return uri
    path, _, query = uri.removeprefix(prefix).partition("?")
    url = sqlite_url(Path(path))
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


class Settings(BaseSettings):
    """Locations and addresses of one workspace."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, allow_inf_nan=False
    )

    workspace: Path = Field(Path(), description="folder with params.yaml, dvc.yaml, data/ and artifacts/")
    tracking_uri: Annotated[str | None, AfterValidator(_absolute_store)] = Field(
        None, description="MLflow tracking server or store; default SQLite in work/"
    )
    registered_model: str = Field("deepfakestream-detector", description="name in the MLflow model registry")
    experiment: str = Field("deepfakestream", description="MLflow experiment that runs are logged to")
    system_metrics: bool = Field(
        True, description="whether the MLflow run of a training has the machine's load as metrics"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")
    executor: Literal["process", "inline", "ray"] = Field(
        "process", description="where faces are extracted: a pool of processes, this process, a Ray cluster"
    )
    num_workers: int = Field(0, ge=0, description="processes that extract faces; 0 for one a core")
    ray_address: str | None = Field(
        None, description="Ray cluster to extract on, as ray.init takes it; default one of this machine"
    )
    retinaface_r50_weights: Path | None = Field(
        None, description="RetinaFace ResNet-50 checkpoint, if at hand"
    )
    detector: Literal["auto", "fast", "accurate"] = Field(
        "auto", description="fast network alone, or fused with the image tower; auto: where it was fetched"
    )
    cache_dir: Path | None = Field(None, description="folder of fetched weights; default the user's cache")
    host: str = Field("127.0.0.1", description="address that the local servers listen on")
    mlflow_port: Port = 5000
    prefect_port: Port = 4200
    service_port: Port = 3000
    evidently_port: Port = 8000
    alert_urls: str | None = Field(
        None, description="addresses that alerts go to, with spaces: Slack, Teams, e-mail, a webhook"
    )
    model_poll_s: float = Field(
        15.0, gt=0.0, description="how often the service looks for a new champion, in seconds"
    )

    job_store_url: Annotated[str | None, AfterValidator(_absolute_store)] = Field(
        None, description="database of the service's jobs and keys; default SQLite in work/"
    )
    prediction_log_url: Annotated[str | None, AfterValidator(_absolute_store)] = Field(
        None, description="database of the prediction log; default SQLite in work/"
    )
    media_dir: Path | None = Field(
        None, description="folder of the media of jobs, reached by every worker; default work/media"
    )
    job_workers: int = Field(
        1, ge=0, description="worker processes that 'serve', 'up' and a bento start next to the service"
    )
    decoding: Literal["isolated", "inline"] = Field(
        "isolated", description="isolated: the service reads each file in a process of its own (Linux)"
    )
    decoder_memory_mb: int = Field(
        3072, ge=512, description="most memory that reading one file may take, in MiB of addresses"
    )
    access: Literal["auto", "keys", "open"] = Field(
        "auto", description="keys: an API key is needed; open: none is; auto: where others can reach the host"
    )
    allowed_hosts: str | None = Field(None, description="further names that the service goes by, with commas")
    webhook_private: bool = Field(
        False, description="whether webhooks may go to private addresses and over http"
    )

    @field_validator(
        "tracking_uri", "ray_address", "retinaface_r50_weights", "cache_dir", "alert_urls",
        "job_store_url", "prediction_log_url", "media_dir", "allowed_hosts", mode="before",
    )  # fmt: skip
    @classmethod
    def _empty_is_not_set(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def work_dir(self) -> Path:
        """Stores that this machine keeps for the workspace and that no version control sees."""
        return self.workspace / "work"

    @property
    def data_dir(self) -> Path:
        """Ingested media and the manifest; tracked as a whole by `data.dvc`."""
        return self.workspace / "data"

    @property
    def artifacts_dir(self) -> Path:
        """Outputs of the stages, one folder a stage; tracked by `dvc.lock`."""
        return self.workspace / "artifacts"

    @property
    def params_file(self) -> Path:
        """The workspace's parameters."""
        return self.workspace / "params.yaml"

    @property
    def extract_dir(self) -> Path:
        """Face crops and their table."""
        return self.artifacts_dir / "extract"

    @property
    def validate_dir(self) -> Path:
        """What the gate found, and the crops that it excluded."""
        return self.artifacts_dir / "validate"

    @property
    def train_dir(self) -> Path:
        """The model folder that was trained last."""
        return self.artifacts_dir / "train"

    @property
    def evaluate_dir(self) -> Path:
        """What `train_dir` was measured to be worth."""
        return self.artifacts_dir / "evaluate"

    @property
    def face_store_dir(self) -> Path:
        """Content-addressed results of face extraction; survives `dvc repro` and kills."""
        return self.work_dir / "facestore"

    @property
    def faces_dir(self) -> Path:
        """Decoded faces of a training in progress."""
        return self.work_dir / "faces"

    @property
    def quarantine_db(self) -> Path:
        """Ledger of refused items, with reasons."""
        return self.work_dir / "quarantine.db"

    @property
    def prediction_log_db(self) -> Path:
        """The prediction log of a workspace that names no other."""
        return self.work_dir / "predictions.db"

    @property
    def prediction_database_url(self) -> str:
        """The prediction log in force: the one set, else SQLite in the workspace."""
        return self.prediction_log_url or sqlite_url(self.prediction_log_db)

    @property
    def has_prediction_log(self) -> bool:
        """Whether there is a log to read; opening one that is not there would make an empty one."""
        return self.prediction_log_url is not None or self.prediction_log_db.exists()

    @property
    def job_database_url(self) -> str:
        """The job store in force: the one set, else SQLite in the workspace."""
        return self.job_store_url or sqlite_url(self._job_store_db)

    @property
    def has_job_store(self) -> bool:
        """Whether there is a job store to read; opening one that is not there would make an empty one."""
        return self.job_store_url is not None or self._job_store_db.exists()

    @property
    def _job_store_db(self) -> Path:
        return self.work_dir / "jobs.db"

    @property
    def job_media_dir(self) -> Path:
        """Where media of jobs lie."""
        return self.media_dir or self.work_dir / "media"

    @property
    def drift_report_file(self) -> Path:
        """What the newest drift check found."""
        return self.artifacts_dir / "drift" / "drift.json"

    @property
    def drift_history_dir(self) -> Path:
        """Every drift check, as a workspace of Evidently."""
        return self.work_dir / "evidently"

    @property
    def drift_project_id(self) -> UUID:
        """Id of the registered model's project in that workspace."""
        return uuid5(NAMESPACE_URL, f"deepfakestream/{self.registered_model}")

    @property
    def governor_db(self) -> Path:
        """Drift windows, retrain claims and refusals."""
        return self.work_dir / "governor.db"

    @property
    def alerts_dir(self) -> Path:
        """One JSON file an alert, and a copy of the page that it speaks of."""
        return self.work_dir / "alerts"

    @property
    def alerts_db(self) -> Path:
        """Open conditions, alerts and who still has to get them."""
        return self.work_dir / "alerts.db"

    @property
    def alert_addresses(self) -> tuple[str, ...]:
        """The addresses of `alert_urls`, one by one."""
        return tuple((self.alert_urls or "").split())

    @property
    def audit_file(self) -> Path:
        """Who did what: one line an action, chained by digests."""
        return self.work_dir / "audit.jsonl"

    @property
    def mlflow_db(self) -> Path:
        """The tracking store of a workspace that names no other."""
        return self.work_dir / "mlflow.db"

    @property
    def mlflow_store_uri(self) -> str:
        """The tracking address in force: the one set, else SQLite in the workspace."""
        return self.tracking_uri or sqlite_url(self.mlflow_db)

    @property
    def has_registry(self) -> bool:
        """Whether there is a registry to ask; asking for one that is not there would make an empty one."""
        return self.tracking_uri is not None or self.mlflow_db.exists()

    @property
    def mlflow_artifacts_dir(self) -> Path:
        """Where MLflow keeps run and model files when no server does."""
        return (self.work_dir / "mlartifacts").resolve()

    @property
    def mlflow_url(self) -> str:
        """Address of the local MLflow server."""
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def mlflow_page_url(self) -> str:
        """Where people read runs and models: the server set, else the local one."""
        is_remote = (self.tracking_uri or "").startswith(("http://", "https://"))
        return (self.tracking_uri if is_remote else None) or self.mlflow_url

    @property
    def prefect_api_url(self) -> str:
        """Address of the local Prefect server's API."""
        return f"http://{self.host}:{self.prefect_port}/api"

    @property
    def prefect_page_url(self) -> str:
        """Where people read flow runs: the server of PREFECT_API_URL, else the local one."""
        return (os.environ.get("PREFECT_API_URL") or self.prefect_api_url).removesuffix("/api")

    @property
    def evidently_url(self) -> str:
        """Address of the local pages of drift over time."""
        return f"http://{self.host}:{self.evidently_port}"

    @property
    def drift_page_url(self) -> str:
        """Where people read drift over time."""
        return f"{self.evidently_url}/projects/{self.drift_project_id}"

    @property
    def service_url(self) -> str:
        """Address of the local inference service."""
        return f"http://{self.host}:{self.service_port}"

    def variables(self) -> dict[str, str]:
        """Return the environment variables that give a child process these very settings, in any folder.

        All of them, as a child must not read another `.env`: what is not set is empty. Paths are absolute.
        """
        values = self.model_dump(mode="json")
        values |= {name: str(path.resolve()) for name, path in self if isinstance(path, Path)}
        return {
            f"{PREFIX}{name.upper()}": "" if value is None else str(value) for name, value in values.items()
        }


_KNOWN = tuple(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)


def load_settings() -> Settings:
    """Return the settings in force.

    A variable with our prefix that no setting has changes nothing; standard error says so, once a process.

    Raises:
        ParamsError: a variable holds a value of the wrong kind.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise ParamsError(f"{name}: {first['msg']}; correct the variable or unset it") from error
    sources = (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings))
    names = {name.upper() for source in sources for name in source.env_vars}
    for name in sorted(name for name in names - set(_KNOWN) if name.startswith(PREFIX)):
        _warn(name)
    return settings


@cache
def _warn(name: str) -> None:
    (nearest,) = get_close_matches(name, _KNOWN, n=1, cutoff=0.0)
    sys.stderr.write(f"deepfakestream: {name} is no setting and changes nothing; the nearest is {nearest}\n")
