"""The registry against a real MLflow server, with and without it on the same store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepfakestream.errors import ServerError
from deepfakestream.registry import champion, versions
from deepfakestream.registry.store import check_answers, prepare_store
from deepfakestream.registry.tracking import start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

from .conftest import free_port

pytestmark = pytest.mark.slow
START_TIMEOUT_S = 90


@contextmanager
def _mlflow_server(settings: Settings) -> Iterator[str]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += ["--backend-store-uri", settings.mlflow_store_uri]
    command += ["--artifacts-destination", str(settings.mlflow_artifacts_dir)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with (settings.work_dir / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=settings.work_dir)
        try:
            _wait_for(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            check_answers(address)
            return
        except ServerError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.5)


def _train_and_promote(settings: Settings, model_dir: Path, *, expected: int | None) -> int:
    with start_run(mlflow_store(settings), name="train", tags={}) as run:
        run.log_metrics({"val_auc": 0.8})
        run.log_artifact(model_dir / "spec.json", "model")
    version = versions.register(mlflow_store(settings), run_id=run.run_id, model_dir=model_dir, tags={})
    champion.make_champion(mlflow_store(settings), version, expected=expected)
    return version


def test_with_and_without_the_server(settings: Settings, make_model: Callable[[str], Path]) -> None:
    """One workspace: what was done without the server is there with it, and the other way round."""
    prepare_store(mlflow_store(settings))
    assert _train_and_promote(settings, make_model("one"), expected=None) == 1
    with _mlflow_server(settings) as address:
        served = settings.model_copy(update={"tracking_uri": address})
        assert versions.get_alias(mlflow_store(served), versions.CHAMPION) == 1
        assert (versions.fetch(mlflow_store(served), 1) / "model.onnx").is_file()
        assert _train_and_promote(served, make_model("two"), expected=1) == 2
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) == 2
    assert (versions.fetch(mlflow_store(settings), 2) / "model.onnx").is_file()


def test_remote_server_keeps_the_files(
    settings: Settings, make_model: Callable[[str], Path], tmp_path: Path
) -> None:
    """The store is the server's alone: files travel through it in both directions."""
    with _mlflow_server(settings) as address:
        elsewhere = Settings(workspace=tmp_path / "elsewhere", tracking_uri=address, experiment="remote")
        model_dir = make_model("one")
        assert _train_and_promote(elsewhere, model_dir, expected=None) == 1
        folder = versions.fetch(mlflow_store(elsewhere), 1)
        assert folder.is_relative_to(elsewhere.work_dir)
        assert (folder / "model.onnx").read_bytes() == (model_dir / "model.onnx").read_bytes()


def test_server_lost_during_a_run(settings: Settings, make_model: Callable[[str], Path]) -> None:
    """Training goes on without the server; what could not be sent is counted, nothing raises."""
    prepare_store(mlflow_store(settings))
    with _mlflow_server(settings) as address:
        served = settings.model_copy(update={"tracking_uri": address})
        run_context = start_run(mlflow_store(served), name="train", tags={})
        run = run_context.__enter__()
        run.log_metrics({"loss": 1.0}, 1)
    started = time.monotonic()
    for step in range(2, 50):
        run.log_metrics({"loss": 1.0 / step}, step)
    run_context.__exit__(None, None, None)
    assert run.unsent == 49
    assert time.monotonic() - started < 30
