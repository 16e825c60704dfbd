"""The real thing: `bentoml serve` with the packaged weights, real pictures and bad requests over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import psutil
import pytest
import skimage

from deepfakestream.media.types import MediaBudget
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.registry.tracking import start_run
from deepfakestream.registry.versions import CHAMPION, register, set_alias
from deepfakestream.scanning.command import scan_paths
from deepfakestream.scanning.model_options import ModelOptions
from deepfakestream.settings import Settings
from deepfakestream.sqlite_url import sqlite_url
from deepfakestream.wiring import mlflow_store

SERVE = [sys.executable, "-m", "bentoml", "serve", "bentos.service:DeepfakeStream"]
WORK = [sys.executable, "-m", "deepfakestream.cli", "work"]
START_TIMEOUT_S = 300.0
MAX_PIXELS = 40_000_000


@dataclass(frozen=True)
class Server:
    """A running service: its address, its workspace and a folder for its temporary files."""

    url: str
    workspace: Path
    spool: Path

    def wait_for(self, analysis_id: str) -> dict[str, Any]:
        """Everything about an analysis, once it has ended."""
        for _ in range(300):
            response = httpx.get(f"{self.url}/v1/analyses/{analysis_id}/report.json", timeout=30)
            if response.status_code != 409:
                return dict(response.json())
            time.sleep(0.5)
        pytest.fail(response.text)

    def post(self, route: str, path: Path, **options: Any) -> httpx.Response:
        with path.open("rb") as file:
            return httpx.post(self.url + route, files={"file": (path.name, file)}, timeout=120, **options)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until_ready(
    process: subprocess.Popen[bytes], url: str, log: Path, timeout_s: float = START_TIMEOUT_S
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url + "/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the service did not become ready:\n{log.read_text()[-4000:]}")


@contextmanager
def running(workspace: Path) -> Iterator[Server]:
    """Run the service in a workspace with an image limit of 2 MiB; everything it writes stays in there."""
    params = Path("params.yaml").read_text(encoding="utf-8")
    (workspace / "params.yaml").write_text(params.replace("20971520", "2097152"), encoding="utf-8")
    spool = workspace / "spool"
    spool.mkdir()
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = os.environ | {
        "BENTOML_HOME": str(workspace / "work" / "bentoml"),
        "DEEPFAKESTREAM_WORKSPACE": str(workspace),
        "DEEPFAKESTREAM_MODEL_POLL_S": "0.5",
        "TMPDIR": str(spool),
    }
    log = workspace / "log.txt"
    commands = [[*SERVE, "--host", "127.0.0.1", "--port", str(port)], WORK]
    with log.open("wb") as output:
        processes = [
            subprocess.Popen(command, cwd=workspace, env=environment, stdout=output, stderr=subprocess.STDOUT)
            for command in commands
        ]
    try:
        wait_until_ready(processes[0], url, log)
        yield Server(url, workspace, spool)
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(workspace / "work" / "bentoml", ignore_errors=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("workspace")) as server:
        yield server


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A face, a clip that pans over it, and files that are no media."""
    folder = tmp_path_factory.mktemp("media")
    face = folder / "face.png"
    astronaut = skimage.data.astronaut()
    cv2.imwrite(str(face), astronaut[..., ::-1])
    empty, text, nothing = folder / "empty.jpg", folder / "text.jpg", folder / "nothing.png"
    empty.touch()
    text.write_text("only text")
    cv2.imwrite(str(nothing), np.full((200, 200, 3), 90, np.uint8))
    clip = pan(astronaut, folder / "clip.mp4")
    return {"face": face, "clip": clip, "empty": empty, "text": text, "nothing": nothing}


def pan(image: np.ndarray, path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        for index in range(20):
            window = np.ascontiguousarray(image[:320, index * 3 + 60 : index * 3 + 380])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
        container.mux(stream.encode())
    return path


def problem_type(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["type"]).rsplit(":", 1)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "route"), [("face", "/v1/images"), ("clip", "/v1/videos")])
def test_http_and_command_line_give_the_same_score(
    server: Server, media: dict[str, Path], capsys: pytest.CaptureFixture[str], name: str, route: str
) -> None:
    response = server.post(route, media[name], headers={"prefer": "wait=30"})
    assert response.status_code in {200, 202}, response.text
    served = server.wait_for(response.json()["id"])["scan"]
    options = ModelOptions(budget=MediaBudget(max_pixels=MAX_PIXELS))
    assert scan_paths([media[name]], options, as_json=True) == 0
    scanned = json.loads(capsys.readouterr().out)
    assert served["p_fake"] == pytest.approx(scanned["p_fake"], abs=1e-5)
    assert served["verdict"] == scanned["verdict"]
    assert served["features"] == pytest.approx(scanned["features"])
    assert served["model"] == scanned["model"]
    assert len(served["tracks"]) == len(scanned["tracks"])
    assert served["media"]["sha256"] == scanned["media"]["sha256"]


@pytest.mark.slow
def test_answers_are_logged_with_the_id_the_caller_got(server: Server, media: dict[str, Path]) -> None:
    response = server.post("/v1/images", media["nothing"], headers={"x-request-id": "nightly-7"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "nightly-7"
    assert response.json()["verdict"] == "not_applicable"
    newest = PredictionLog(sqlite_url(server.workspace / "work" / "predictions.db")).newest(1)
    assert list(newest["prediction_id"]) == [response.json()["prediction_id"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "route", "status", "kind"),
    [
        ("empty", "/v1/images", 400, "empty-file"),
        ("text", "/v1/images", 415, "unsupported-media-type"),
        ("clip", "/v1/images", 415, "content-mismatch"),
    ],
)
def test_bad_files(
    server: Server, media: dict[str, Path], name: str, route: str, status: int, kind: str
) -> None:
    response = server.post(route, media[name])
    assert (response.status_code, problem_type(response)) == (status, kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "status", "kind"), [("text", 415, "unsupported-media-type"), ("face", 415, "content-mismatch")]
)
def test_bad_files_as_jobs(server: Server, media: dict[str, Path], name: str, status: int, kind: str) -> None:
    answer = server.wait_for(server.post("/v1/videos", media[name]).json()["id"])
    assert (answer["status"], answer["type"].rsplit(":", 1)[1]) == (status, kind)


@pytest.mark.slow
def test_an_address_is_not_fetched(server: Server) -> None:
    form = {"file": (None, f"{server.url}/livez")}
    response = httpx.post(server.url + "/v1/images", files=form)
    assert (response.status_code, problem_type(response)) == (415, "unsupported-media-type")


@pytest.mark.slow
def test_a_body_over_the_limit_with_and_without_a_length(server: Server, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(b"\xff\xd8\xff" + bytes(3_000_000))
    response = server.post("/v1/images", large)
    assert (response.status_code, problem_type(response)) == (413, "too-large")

    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(60):
            yield bytes(65_536)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = httpx.post(server.url + "/v1/images", content=chunks(), headers=headers)
    assert (response.status_code, problem_type(response)) == (413, "too-large")


@pytest.mark.slow
@pytest.mark.parametrize("line", [b"X-Filler: " + b"a" * 4000 + b"\r\n", b"a" * 4096], ids=["many", "long"])
def test_headers_without_end_end_the_connection(server: Server, line: bytes) -> None:
    url = httpx.URL(server.url)
    sent = 0
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Start: ")
        with suppress(OSError):
            while sent < 50_000_000:
                connection.sendall(16 * line)
                sent += 16 * len(line)
    assert sent < 50_000_000
    assert httpx.get(server.url + "/livez", timeout=60).status_code == 200


@pytest.mark.slow
def test_requests_leave_nothing_in_memory(server: Server) -> None:
    """Timers of BentoML held 9 KB of each request for a day: 27 MB of these."""
    (worker,) = [
        each
        for each in psutil.Process().children(recursive=True)
        if "--worker-id" in each.cmdline() and Path(each.cwd()) == server.workspace
    ]
    with httpx.Client(base_url=server.url, timeout=120) as client:

        def memory_after(num_requests: int) -> int:
            for _ in range(num_requests):
                assert client.get("/livez").status_code == 200
            return int(worker.memory_full_info().uss)

        before = memory_after(500)
        assert memory_after(3000) - before < 10e6


@pytest.mark.slow
def test_probes_metrics_and_pages(server: Server, media: dict[str, Path]) -> None:
    server.post("/v1/images", media["face"])
    assert httpx.get(server.url + "/livez").status_code == 200
    assert httpx.get(server.url + "/readyz").status_code == 200
    metrics = httpx.get(server.url + "/metrics").text
    for name in ("predictions_total", "stage_seconds_bucket", "model_info", "p_fake_bucket"):
        assert f"deepfakestream_{name}" in metrics
    for _ in range(300):  # measured every second
        if "\ndeepfakestream_ready 1.0\n" in metrics:
            break
        time.sleep(0.2)
        metrics = httpx.get(server.url + "/metrics").text
    assert "\ndeepfakestream_ready 1.0\n" in metrics
    assert '\ndeepfakestream_overdue_work{kind="image"} 0.0\n' in metrics
    assert "deepfakestream_requests_total" in metrics
    assert httpx.get(server.url + "/v1/model").json()["version"] == "0"
    for path in ("/", "/docs"):
        page = httpx.get(server.url + path)
        assert page.headers["content-type"].startswith("text/html")
        assert "googletagmanager" not in page.text
    assert httpx.get(server.url + "/static_content/swagger-ui-bundle.js").status_code == 200
    assert httpx.get(server.url + "/nothing").status_code == 404
    assert problem_type(httpx.get(server.url + "/v1/images")) == "method-not-allowed"


@pytest.mark.slow
def test_no_upload_is_left_on_disk(server: Server, media: dict[str, Path]) -> None:
    server.post("/v1/videos", media["clip"])
    server.post("/v1/images", media["text"])
    # ONNX Runtime keeps a small file of its own there.
    assert [path.name for path in server.spool.rglob("*") if path.is_file() and path.name != ".ses"] == []
    incoming = server.workspace / "work" / "media" / "incoming"
    deadline = time.monotonic() + 120.0
    while left := list(incoming.iterdir()):  # a worker has a folder there while it scans
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.slow
def test_without_params_the_service_says_so_in_one_sentence(tmp_path: Path) -> None:
    home = {"BENTOML_HOME": str(tmp_path / "bentoml"), "DEEPFAKESTREAM_WORKSPACE": str(tmp_path)}
    command = [*SERVE, "--port", str(free_port())]
    done = subprocess.run(
        command, env=os.environ | home, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"deepfakestream: {tmp_path}/params.yaml: no such file; run in a workspace, "
        "or make one with 'deepfakestream init'"
    )


@pytest.mark.slow
def test_a_promotion_reaches_the_running_service(tmp_path: Path, media: dict[str, Path]) -> None:
    settings = Settings(workspace=tmp_path)
    with start_run(mlflow_store(settings), name="test", tags={}) as run:
        first, second = (
            register(mlflow_store(settings), run_id=run.run_id, model_dir=packaged_model_dir(), tags={})
            for _ in range(2)
        )
    set_alias(mlflow_store(settings), CHAMPION, first)
    with running(tmp_path) as server:
        assert served_version(server) == str(first)
        before = server.post("/v1/images", media["face"]).json()
        set_alias(mlflow_store(settings), CHAMPION, second)
        deadline = time.monotonic() + 60
        while served_version(server) != str(second) and time.monotonic() < deadline:
            time.sleep(0.2)
        after = server.post("/v1/images", media["face"]).json()
    assert [before["model"]["version"], after["model"]["version"]] == [str(first), str(second)]
    assert before["p_fake"] == after["p_fake"]
    log = PredictionLog(sqlite_url(tmp_path / "work" / "predictions.db"))
    assert list(log.newest(10, model_version=str(second))["prediction_id"]) == [after["prediction_id"]]


def served_version(server: Server) -> str:
    return str(httpx.get(server.url + "/v1/model").json()["version"])
