"""SIGKILL of every process in every state: the job ends once, and nothing is counted or sent twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import sqlalchemy as sa

from deepfakestream.jobs.analyses import Analyses, new_id
from deepfakestream.jobs.media_store import FolderStore
from deepfakestream.jobs.tables import DELIVERIES, JOBS, open_job_store
from deepfakestream.jobs.types import NewAnalysis, Retention
from deepfakestream.jobs.usage import read_usage

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("worker_for_kills.py")


def wait_until(holds: Callable[[], bool], seconds: float = 60.0, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def worker(url: str, tmp_path: Path, stop_in: str) -> Iterator[subprocess.Popen[bytes]]:
    marks = tmp_path / "marks"
    marks.mkdir(exist_ok=True)
    command = [sys.executable, str(WORKER), url, str(tmp_path / "media"), str(marks), stop_in]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("state", "victim"),
    [
        ("taken", "worker"),
        ("scanning", "worker"),
        ("scanning", "decoder"),
        ("finishing", "worker"),
    ],
)
def test_a_killed_process_costs_nothing(database_url: str, tmp_path: Path, state: str, victim: str) -> None:
    database = open_job_store(database_url)
    analyses = Analyses(database, retention=Retention(media_h=1, result_h=1))
    media = FolderStore(tmp_path / "media")
    analysis_id = new_id()
    upload = media.incoming()
    upload.write_bytes(b"video")
    media.keep(analysis_id, upload, durable=True)
    analyses.submit(
        NewAnalysis(
            id=analysis_id, owner="local", kind="video", request_id="r", media_sha256="ab", media_bytes=5,
            webhook_url="http://127.0.0.1:9/",
        )
    )  # fmt: skip
    mark = tmp_path / "marks" / state

    def ended() -> bool:
        found = analyses.get(analysis_id)
        return found is not None and found.is_final

    with worker(database_url, tmp_path, state) as first:
        wait_until(lambda: mark.exists() and (state != "scanning" or bool(mark.read_text())), what=state)
        if victim == "worker":
            decoders = psutil.Process(first.pid).children(recursive=True)
            first.kill()
            first.wait()
            wait_until(
                lambda: not any(each.is_running() for each in decoders), what="a decoder outlived its worker"
            )
        else:
            os.kill(int(mark.read_text()), signal.SIGKILL)
            wait_until(ended, what="the worker did not go on")
    with worker(database_url, tmp_path, "none"):
        # Well below the lease of 30 s: the next worker here knows that the first is gone.
        wait_until(ended, seconds=20.0, what="the next worker did not take over")
    done = analyses.get(analysis_id)
    assert done is not None
    assert (done.status, done.p_fake) == ("succeeded", 0.9)
    statuses = [each.data["status"] for each in analyses.events(analysis_id) if each.kind == "status"]
    assert statuses.count("succeeded") == 1
    (day,) = read_usage(database, "local", since="2000-01-01")
    assert (day.items, day.media_s) == (1, 3.0)
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(JOBS)).scalar() == 0
        assert connection.execute(sa.select(sa.func.count()).select_from(DELIVERIES)).scalar() == 1
    database.close()


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def real_system(workspace: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "DEEPFAKESTREAM_WORKSPACE": str(workspace), "DEEPFAKESTREAM_SERVICE_PORT": str(port),
    }  # fmt: skip
    path = workspace / "log.txt"
    said_before = path.read_bytes() if path.is_file() else b""
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deepfakestream.cli", "serve"],
            cwd=workspace, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        # before that, the end of any of its processes ends it
        wait_until(
            lambda: b"Ctrl-C stops" in path.read_bytes()[len(said_before) :],
            seconds=400.0,
            what="the service did not start",
        )
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def command_line(process: psutil.Process) -> str:
    """Return the words that started the process; none where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill(root: int, words: str) -> None:
    """Kill every descendant whose command holds the words; there is one at least."""
    children = psutil.Process(root).children(recursive=True)
    found = [each for each in children if words in command_line(each)]
    assert found, words
    for each in found:
        each.kill()


def kill_left_over(workspace: Path) -> None:
    """Kill what a killed `serve` left of its children: those that work in the workspace."""
    for each in psutil.process_iter():
        try:
            if each.environ().get("DEEPFAKESTREAM_WORKSPACE") == str(workspace):
                each.kill()
        except psutil.Error:
            continue


@pytest.mark.timeout(600)
def test_real_processes_killed_with_real_videos(tmp_path: Path, face_clip: Path) -> None:
    """The service, its worker and the decoder, each killed while videos wait, run and end."""
    shutil.copy("params.yaml", tmp_path / "params.yaml")
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def submit() -> str:
        with face_clip.open("rb") as file:
            response = httpx.post(f"{url}/v1/videos", files={"file": file}, timeout=60)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def state(analysis_id: str) -> dict[str, object]:
        try:
            return dict(httpx.get(f"{url}/v1/analyses/{analysis_id}", timeout=10).json())
        except (httpx.TransportError, json.JSONDecodeError):
            return {"status": "unknown"}

    with real_system(tmp_path, port) as system:
        ids = [submit() for _ in range(6)]
        wait_until(lambda: state(ids[0])["status"] != "queued", what="no worker began")
        kill(system.pid, "_bentoml_impl.worker")  # BentoML starts another
        kill(system.pid, "scan_process")
        wait_until(lambda: answers(port), seconds=120.0, what="the service did not come back")
        wait_until(lambda: state(ids[1])["status"] == "succeeded", seconds=200.0, what=str(state(ids[1])))
        ids.append(submit())
        kill(system.pid, "deepfakestream.cli work")  # serve starts another
        wait_until(lambda: state(ids[2])["status"] == "succeeded", seconds=200.0, what=str(state(ids[2])))
        system.kill()  # all at once: nobody gives anything back
        system.wait()
        kill_left_over(tmp_path)
    with real_system(tmp_path, port):
        for each in ids:
            wait_until(
                lambda each=each: state(each)["status"] == "succeeded", seconds=200.0, what=str(state(each))
            )
        scores = {state(each)["p_fake"] for each in ids}
        listed = httpx.get(f"{url}/v1/analyses?limit=100", timeout=10).json()["items"]
        usage = httpx.get(f"{url}/v1/usage", timeout=10).json()["days"]
    assert len(scores) == 1
    assert {each["id"] for each in listed} == set(ids)
    assert sum(day["items"] for day in usage) == len(ids)
