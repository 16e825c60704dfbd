from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deepfakestream.host.process_tree import end_tree, run_whole


class InterruptedByTestError(Exception):
    """What a signal handler raises here, as Prefect's and ours do."""


def lives(pid: int) -> bool:
    """Where nobody collects them, killed processes stay as zombies."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def interrupt_when() -> Iterator[Callable[[Path], None]]:
    """The function that raises `InterruptedByTestError` in the main thread once a file has content."""
    before = signal.getsignal(signal.SIGUSR1)
    threads: list[threading.Thread] = []
    yield lambda path: threads.append(interrupting(path))
    for thread in threads:
        thread.join(timeout=15.0)
    signal.signal(signal.SIGUSR1, before)


def interrupting(path: Path) -> threading.Thread:

    def handler(_number: int, _frame: object) -> None:
        raise InterruptedByTestError

    def wait() -> None:
        for _ in range(500):
            if path.exists() and path.read_text():
                break
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_output_and_status(tmp_path: Path) -> None:
    script = "import sys, os; print(os.getcwd()); print(os.environ['X'], file=sys.stderr); sys.exit(3)"
    done = run_whole(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "X": "said"},
        stderr=subprocess.PIPE,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (3, str(tmp_path), "said")


def test_a_listener_gets_each_line_of_both_streams_while_the_program_runs(tmp_path: Path) -> None:
    script = """
import os, sys, time
print("first", flush=True)
sys.stderr.write("the second\\n\\n")
sys.stderr.flush()
while not os.path.exists("heard"):
    time.sleep(0.01)
print("last")
"""
    heard: list[str] = []

    def listen(line: str) -> None:
        heard.append(line)
        if len(heard) == 2:
            (tmp_path / "heard").touch()

    done = run_whole(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, listener=listen
    )
    assert heard == ["first", "the second", "last"]
    assert (done.returncode, done.stdout, done.stderr) == (0, "first\nthe second\n\nlast\n", None)


def test_an_interrupted_program_leaves_nobody_behind(
    tmp_path: Path, interrupt_when: Callable[[Path], None]
) -> None:
    started = tmp_path / "pid"
    interrupt_when(started)
    with pytest.raises(InterruptedByTestError):
        run_whole(
            ["sh", "-c", f"sh -c 'sleep 300 & echo $! > {started}; wait'; true"],
            cwd=tmp_path,
            env=os.environ,
            stderr=None,
        )
    assert not lives(int(started.read_text()))


def test_a_program_ends_with_a_killed_owner(tmp_path: Path) -> None:
    """Of a killed flow run no training goes on: owner, guard, program, and what the program started."""
    started = tmp_path / "pid"
    program = ["sh", "-c", f"sh -c 'sleep 300 & echo $! > {started}; wait'; true"]
    owner = (
        "import os, pathlib\n"
        "from deepfakestream.host.process_tree import run_whole\n"
        f"run_whole({program!r}, cwd=pathlib.Path('.'), env=os.environ, stderr=None)"
    )
    with subprocess.Popen([sys.executable, "-c", owner]) as process:
        deadline = time.monotonic() + 60
        while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    pid = int(started.read_text())
    deadline = time.monotonic() + 30
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(pid)


def test_a_program_that_a_signal_ended_has_failed(tmp_path: Path) -> None:
    done = run_whole(["sh", "-c", "kill -9 $$"], cwd=tmp_path, env=os.environ, stderr=None)
    assert done.returncode == 128 + signal.SIGKILL


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    deaf = f"trap '' TERM; touch {ready}; sleep 300 & wait; wait"
    with subprocess.Popen(["sh", "-c", f'sh -c "{deaf}"; true']) as process:
        while not ready.exists():
            time.sleep(0.01)
        family = psutil.Process(process.pid).children(recursive=True)
        end_tree(process.pid, grace_s=0.2)
        assert not any(lives(one.pid) for one in family)
    end_tree(process.pid)  # nobody is left: nothing happens
