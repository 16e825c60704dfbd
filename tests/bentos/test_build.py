"""A bento holds all that it needs: it starts from its own folder, with its own requirements only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from deepfakestream.api import open_model
from deepfakestream.model.folder import model_sha256
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.registry.tracking import start_run
from deepfakestream.registry.versions import CHAMPION, register, set_alias
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

from .test_service import free_port, wait_until_ready

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 240.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def build(home: Path, workspace: Path, device: str) -> Path:
    """Build a bento as a person would, and return its folder."""
    command = [sys.executable, "-m", "bentos.build", "--device", device]
    environment = os.environ | {"BENTOML_HOME": str(home), "DEEPFAKESTREAM_WORKSPACE": str(workspace)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose champion, version 1, is the packaged model."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "work").mkdir()
    store = mlflow_store(Settings(workspace=folder))
    with start_run(store, name="train", tags={}) as run:
        tags = {"code_commit": "c0ffee", "dvc_data_md5": "d47a.dir"}
        version = register(store, run_id=run.run_id, model_dir=packaged_model_dir(), tags=tags)
    set_alias(store, CHAMPION, version)
    return folder


@pytest.fixture(scope="module")
def bento(home: Path, workspace: Path) -> Path:
    return build(home, workspace, "cpu")


def test_labels_say_where_the_model_comes_from(bento: Path) -> None:
    labels = yaml.safe_load((bento / "bento.yaml").read_text())["labels"]
    assert labels.pop("model_sha256") == model_sha256(packaged_model_dir())[:63]
    assert len(labels.pop("run_id")) == 32
    assert labels == {"model_version": "1", "code_commit": "c0ffee", "dvc_data_md5": "d47a.dir"}


@pytest.mark.timeout(900)
def test_a_bento_for_cuda_brings_pytorch(home: Path, workspace: Path, bento: Path) -> None:
    requirements = "env/python/requirements.txt"
    assert "\ntorch==" not in (bento / requirements).read_text()
    assert "\ntorch==" in (build(home, workspace, "cuda") / requirements).read_text()


@pytest.fixture
def address(bento: Path, make_environment: Callable[..., Path], tmp_path: Path) -> Iterator[str]:
    """The service of the bento, started in an environment and a folder that know nothing of the project."""
    environment = tmp_path / "environment"
    (wheel,) = bento.glob("env/python/wheels/*.whl")
    make_environment(environment, requirements=bento / "env" / "python" / "requirements.txt", wheel=wheel)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log.txt"
    theirs = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DEEPFAKE"))
    }
    theirs |= {"BENTOML_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [str(environment / "bin" / "python"), "-m", "bentoml", "serve", str(bento), "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=elsewhere, env=theirs, stdout=output, stderr=output)
    try:
        wait_until_ready(server, url, log, START_TIMEOUT_S)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


@pytest.mark.timeout(900)
def test_it_answers_as_scan_does(address: str, astronaut_jpg: Path, face_clip: Path) -> None:
    model = open_model(detector="fast")
    with astronaut_jpg.open("rb") as file:
        answer = httpx.post(f"{address}/v1/images", files={"file": file}, timeout=120).json()
    wanted = model.scan(astronaut_jpg)
    assert (answer["verdict"], answer["model"]["version"]) == (wanted.verdict, "1")
    assert answer["p_fake"] == pytest.approx(wanted.p_fake, abs=1e-6)
    with face_clip.open("rb") as file:
        sent = httpx.post(f"{address}/v1/videos", files={"file": file}, timeout=120).json()
    deadline = time.monotonic() + START_TIMEOUT_S
    while sent["progress"] is not None:  # its own worker takes it
        assert time.monotonic() < deadline, sent
        time.sleep(0.5)
        sent = httpx.get(f"{address}/v1/analyses/{sent['id']}", timeout=120).json()
    assert sent["status"] == "succeeded"
