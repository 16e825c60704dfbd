"""Workers next to a service that somebody else starts: they take jobs, come again, and end with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deepfakestream.service.work import READY

pytestmark = pytest.mark.slow
PATIENCE_S = 300.0
PROGRAM = """
import time
from deepfakestream.local.attached_workers import attach_workers
from deepfakestream.settings import load_settings
attach_workers(load_settings())
time.sleep(3600)
"""


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with two attached workers."""
    shutil.copy("params.yaml", tmp_path / "params.yaml")
    variables = {"DEEPFAKESTREAM_WORKSPACE": str(tmp_path), "DEEPFAKESTREAM_JOB_WORKERS": "2"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=os.environ | variables)
    yield process
    process.kill()
    process.wait()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def starts(folder: Path) -> list[int]:
    """How often each worker was ready."""
    logs = [folder / "work" / "logs" / f"worker-{number}.log" for number in (1, 2)]
    return [log.read_text().count(READY) if log.is_file() else 0 for log in logs]


def test_workers_come_again_and_end_with_the_process_that_started_them(
    starter: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    wait_until(lambda: starts(tmp_path) == [1, 1])
    tree = psutil.Process(starter.pid).children(recursive=True)
    workers = [each for each in tree if each.cmdline()[1:] == ["-m", "deepfakestream.cli", "work"]]
    assert len(workers) == 2
    workers[0].kill()
    wait_until(lambda: sorted(starts(tmp_path)) == [1, 2])
    left = psutil.Process(starter.pid).children(recursive=True)
    starter.kill()
    starter.wait()
    psutil.wait_procs(left, timeout=PATIENCE_S)
    assert not [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
