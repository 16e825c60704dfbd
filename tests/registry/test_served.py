"""The registered model answers MLflow's own commands like `deepfakestream scan`."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import requests

from deepfakestream.api import open_model
from deepfakestream.host.process_tree import program_path
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.registry import versions
from deepfakestream.registry.store import Store
from deepfakestream.registry.tracking import start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

from .conftest import free_port

START_TIMEOUT_S = 240
FAST = {"detector": "fast"}


@pytest.fixture
def store(settings: Settings) -> Store:
    """A registry whose champion has the files of the packaged model."""
    store = mlflow_store(settings)
    with start_run(store, name="train", tags={}) as run:
        version = versions.register(store, run_id=run.run_id, model_dir=packaged_model_dir(), tags={})
    versions.set_alias(store, versions.CHAMPION, version)
    return store


def test_python_flavour_gives_verdicts(store: Store, astronaut_jpg: Path) -> None:
    import mlflow.pyfunc

    folder = versions.fetch(store, 1)
    model = mlflow.pyfunc.load_model(str(folder), model_config=FAST)
    answers = model.predict(pd.DataFrame({"media": [astronaut_jpg.read_bytes(), b"no picture"]}))
    wanted = open_model(detector="fast").scan(astronaut_jpg)
    assert answers["verdict"].tolist() == [wanted.verdict, "not_applicable"]
    assert answers["p_fake"][0] == pytest.approx(wanted.p_fake, abs=1e-6)
    assert pd.isna(answers["p_fake"][1])
    assert answers["reasons"][1] == ["unsupported_format"]
    assert answers["detector"].tolist() == ["fast", "fast"]


def test_input_example_is_answered(store: Store) -> None:
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(versions.fetch(store, 1)), model_config=FAST)
    (reasons,) = model.predict(model.input_example)["reasons"]
    assert reasons == ["no_face"]


@pytest.mark.slow
def test_mlflow_serves_the_champion(
    store: Store, settings: Settings, tmp_path: Path, astronaut_jpg: Path
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model-uri", f"models:/{settings.registered_model}@champion", "--env-manager", "local"]
    # MLflow starts uvicorn by its name, as in an environment that was activated.
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "PATH": program_path()}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    row = base64.b64encode(astronaut_jpg.read_bytes()).decode()
    question = {"dataframe_split": {"columns": ["media"], "data": [[row]]}}
    log = tmp_path / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=elsewhere, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/ping", server, log)
            reply = requests.post(f"http://127.0.0.1:{port}/invocations", json=question, timeout=120)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)
    assert reply.status_code == 200, reply.text
    (answer,) = reply.json()["predictions"]
    wanted = open_model().scan(astronaut_jpg)
    assert answer["verdict"] == wanted.verdict
    assert answer["p_fake"] == pytest.approx(wanted.p_fake, abs=1e-6)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
