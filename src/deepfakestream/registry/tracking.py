"""MLflow runs: what was tried, with which data, and what came out.

A run that has begun survives its server: what cannot be sent is kept and sent later, and training goes on.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepfakestream.errors import DataError, ServerError
from deepfakestream.host.process_place import is_running, process_name
from deepfakestream.registry.lineage import LINEAGE, UNKNOWN, lineage_tags
from deepfakestream.registry.machine_metrics import machine_watched
from deepfakestream.registry.store import (
    Store,
    answer_or_none,
    as_server_error,
    check_answers,
    ensure_experiment,
    open_client,
    redacted,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 30.0
MAX_BATCH = 100
"""Params in one request: MLflow's limit."""
MAX_VALUE_CHARS = 6000
MAX_DIGEST_CHARS = 36
PROCESS_TAG = "process"
"""On a run: the process that writes it, so that one whose process was killed can be ended."""
_PARENT_TAG = "mlflow.parentRunId"
_LOST_CONNECTION = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


class TrackedRun:
    """One MLflow run that is being written. Get it from `start_run` or `resume_run`.

    After the start no method raises because of the server: records wait in memory, in order, and are sent
    with a later one. `unsent` says how many still wait.
    """

    def __init__(self, client: MlflowClient, *, run_id: str, experiment_id: str) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self._client = client
        self._waiting: deque[Callable[[], object]] = deque()
        self._retry_at_s = 0.0

    @property
    def unsent(self) -> int:
        """Records that the server has not taken yet."""
        return len(self._waiting)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters; a nested section becomes `section.key`."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:MAX_VALUE_CHARS]) for key, value in _flat(params)]
        for start in range(0, len(entries), MAX_BATCH):
            batch = entries[start : start + MAX_BATCH]
            self._send(partial(self._client.log_batch, self.run_id, params=batch))

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log numbers of one step; None and what is not finite is left out: it was not measured.

        Args:
            metrics: name to number.
            step: of the training.
        """
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        entries = [
            Metric(key, float(value), now_ms, step)
            for key, value in metrics.items()
            if value is not None and math.isfinite(value)
        ]
        if entries:
            self._send(partial(self._client.log_batch, self.run_id, metrics=entries))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or a folder with all in it, under the run's `folder`.

        Args:
            path: file or folder.
            folder: in the run.
        """
        if path.is_dir():
            self._send(partial(self._client.log_artifacts, self.run_id, str(path), folder))
        else:
            self._send(partial(self._client.log_artifact, self.run_id, str(path), folder))

    def log_dataset(self, name: str, digest: str, context: str) -> None:
        """Log which data were used (by digest, e.g. DVC's) and for what, e.g. `training`.

        Args:
            name: of the data.
            digest: of the data.
            context: e.g. `training`.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=digest[:MAX_DIGEST_CHARS],
            source_type="dvc",
            source=f'{{"uri": "data.dvc", "digest": "{digest}"}}',
        )
        entry = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        self._send(partial(self._client.log_inputs, self.run_id, datasets=[entry]))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        from mlflow.entities import RunTag

        entries = [RunTag(key, str(value)[:MAX_VALUE_CHARS]) for key, value in tags.items()]
        self._send(partial(self._client.log_batch, self.run_id, tags=entries))

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the run and send what waits; what still cannot be sent is counted in one warning."""
        self._waiting.append(partial(self._client.set_terminated, self.run_id, status))
        self.flush()

    def flush(self) -> None:
        """Send what waits now; what still cannot be sent is counted in one warning.

        A record that fails though the server is well, e.g. because its file store is away, holds up no other.
        """
        self._retry_at_s = 0.0
        self._drain(last=True)
        if self._waiting:
            logger.warning(
                "MLflow run %s lacks %d records that could not be sent; the files in artifacts/ are complete",
                self.run_id,
                len(self._waiting),
            )

    def _send(self, record: Callable[[], object]) -> None:
        self._waiting.append(record)
        if time.monotonic() >= self._retry_at_s:
            self._drain()

    def _drain(self, *, last: bool = False) -> None:
        import requests
        from mlflow.exceptions import MlflowException

        while self._waiting:
            try:
                self._waiting[0]()
            except (MlflowException, requests.RequestException, OSError) as error:
                if _is_lost_connection(error) and not (last and self._is_server_well()):
                    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    logger.warning("MLflow is out of reach, records wait (%s)", first_line[:200])
                    self._retry_at_s = time.monotonic() + RETRY_AFTER_S
                    return
                logger.warning("MLflow run %s: a record was refused and is left out: %s", self.run_id, error)
            self._waiting.popleft()

    def _is_server_well(self) -> bool:
        try:
            check_answers(self._client.tracking_uri)
        except ServerError:
            return False
        return True


@contextmanager
def start_run(
    store: Store,
    *,
    name: str,
    tags: Mapping[str, str],
    parent: TrackedRun | None = None,
    watch_machine: bool = False,
) -> Iterator[TrackedRun]:
    """Give a new run with the workspace's lineage tags; it ends with the block: finished, failed or killed.

    Args:
        store: where runs are logged to.
        name: of the run.
        tags: more tags.
        parent: the run under which MLflow's pages show this one.
        watch_machine: whether to sample the machine's load into the run's metrics.

    Raises:
        ServerError: the tracking server does not answer when the run is to start. Nothing has been done then.
    """
    client = open_client(store)
    own = {_PARENT_TAG: parent.run_id} if parent else {}
    run = _create(client, store, name=name, tags={**own, **tags})
    watch = machine_watched(run.run_id, tracking_uri=client.tracking_uri) if watch_machine else nullcontext()
    try:
        with watch:
            yield run
    except KeyboardInterrupt:
        run.finish("KILLED")
        raise
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FINISHED")


@contextmanager
def resume_run(store: Store, *, run_id: str | None, name: str) -> Iterator[TrackedRun]:
    """Give the run again, e.g. to add test metrics to it; its state is left as it is.

    Where this store does not know the run (trained elsewhere and pulled with DVC), a new one of this name is
    made that names it in the tag `continues_run`.

    Args:
        store: the MLflow store.
        run_id: id of the MLflow run; None: unknown.
        name: of the run where a new one is made.

    Raises:
        ServerError: the tracking server does not answer.
    """
    client = open_client(store)
    known = None if run_id is None else _find(client, store, run_id)
    if known is None:
        with start_run(store, name=name, tags={"continues_run": run_id or UNKNOWN}) as run:
            yield run
        return
    try:
        yield known
    finally:
        known.flush()


def lineage_of(store: Store, run_id: str) -> dict[str, str]:
    """Return the lineage tags that a run was started with: code, data and parameters of the training.

    Args:
        store: the MLflow store.
        run_id: id of the MLflow run.

    Raises:
        DataError: the store has no such run.
        ServerError: the tracking server does not answer.
    """
    client = open_client(store)
    if _find(client, store, run_id) is None:
        address = redacted(store.uri)
        raise DataError(f"MLflow run {run_id}: not in {address}; train again or name its store")
    with as_server_error(store):
        tags = client.get_run(run_id).data.tags
    return {name: tags.get(name, UNKNOWN) for name in LINEAGE}


def give_up_abandoned(store: Store) -> int:
    """Mark the runs whose process is seen to have ended as killed; return how many there were.

    Args:
        store: the MLflow store.

    Raises:
        ServerError: the tracking server does not answer.
    """
    client = open_client(store)
    experiment_id = ensure_experiment(client, store)
    with as_server_error(store):
        open_runs = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
        abandoned = [run for run in open_runs if is_running(run.data.tags.get(PROCESS_TAG, "")) is False]
        for run in abandoned:
            client.set_terminated(run.info.run_id, "KILLED")
    return len(abandoned)


def _create(client: MlflowClient, store: Store, *, name: str, tags: Mapping[str, str]) -> TrackedRun:
    lineage = lineage_tags(store)
    standard = {"mlflow.source.name": "deepfakestream"}
    if lineage["code_commit"] != UNKNOWN:
        standard["mlflow.source.git.commit"] = lineage["code_commit"]
    experiment_id = ensure_experiment(client, store)
    with as_server_error(store):
        run = client.create_run(
            experiment_id, run_name=name, tags={**standard, **lineage, PROCESS_TAG: process_name(), **tags}
        )
    return TrackedRun(client, run_id=run.info.run_id, experiment_id=experiment_id)


def _find(client: MlflowClient, store: Store, run_id: str) -> TrackedRun | None:
    run = answer_or_none(store, lambda: client.get_run(run_id))
    if run is None or run.info.lifecycle_stage == "deleted":
        return None
    return TrackedRun(client, run_id=run_id, experiment_id=run.info.experiment_id)


def _is_lost_connection(error: Exception) -> bool:
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response is None or error.response.status_code >= 500
    if isinstance(error, requests.RequestException):
        return True
    return getattr(error, "error_code", None) in _LOST_CONNECTION


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
