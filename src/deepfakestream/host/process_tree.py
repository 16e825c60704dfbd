"""Programs that start others: when one is no longer waited for, all of them are ended.

A stage runs as DVC's grandchild. Were DVC alone killed, the stage would go on for hours next to whatever
takes its place, and write its output when nobody expects it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

GRACE_S = 5.0
"""From TERM to KILL: below the time that those who stop us give."""
SERVER_GRACE_S = 10.0
"""The same for a server: its requests end first."""
_KILLED_S = 1.0
"""From KILL to the end; beyond it nobody collects them, as in a container whose first process does not."""
SERVER_KILLED_S = 5.0
"""The same for a server, whose own children hold ports and files for a moment longer."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def program_path() -> str:
    """Return the PATH for a child: the programs of this installation before any other of the same name."""
    theirs = os.environ.get("PATH", "")
    # An empty entry would stand for the folder that the child runs in.
    return os.pathsep.join(filter(None, [str(Path(sys.executable).parent), theirs]))


def guarded(way: Literal["server", "stage"], command: Sequence[str]) -> list[str]:
    """Return the command that runs a program under a guard, which ends it when standard input is closed.

    Args:
        way: whether it is a server, to be started in a session of its own, or a stage of a pipeline.
        command: program and arguments.
    """
    return [sys.executable, "-m", "deepfakestream.host.process_guard", way, *command]


Listener = Callable[[str], object]
"""Gets a line that a program has printed."""


def run_whole(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stderr: int | None,
    listener: Listener | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output; if anything interrupts that, end all that it started.

    So it ends too where this very process is killed: a guard between the two notices that (process_guard).

    Args:
        command: program and arguments.
        cwd: folder to run in.
        env: the whole environment.
        stderr: as for `subprocess.run`; standard output is kept.
        listener: gets each line of both streams, while the program runs; both are then the output.
    """
    theirs, ours = os.pipe()
    try:
        with subprocess.Popen(
            guarded("stage", command),
            cwd=cwd,
            env=env,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if listener else stderr,
            text=True,
            errors="replace",
        ) as process:
            try:
                output, log = _listen(process, listener) if listener else process.communicate()
            except BaseException:
                os.close(ours)
                ours = -1
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S + 2 * _KILLED_S)
                end_tree(process.pid)
                raise
    finally:
        os.close(theirs)
        if ours >= 0:
            os.close(ours)
    return subprocess.CompletedProcess(command, process.returncode, output, log)


def _listen(process: subprocess.Popen[str], listener: Listener) -> tuple[str, None]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.strip():
            listener(line.rstrip())
    process.wait()
    return "".join(lines), None


def end_with_parent(number: signal.Signals) -> None:
    """Let the kernel send this process a signal when the process that started it ends, however it ends.

    Where the kernel cannot do that, which is everywhere but on Linux, nothing happens.

    Args:
        number: the signal.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it had ended before we asked
        os.kill(os.getpid(), number)


def end_tree(pid: int, grace_s: float = GRACE_S, *, asks_root: bool = False) -> None:
    """Ask what a process started to end, let it draw its conclusions, and kill what is left after the grace.

    DVC gives its locks back when its stage fails, and leaves them when it is killed; so it is not asked.

    Args:
        pid: id of the process.
        grace_s: seconds that the processes get to end by themselves.
        asks_root: whether the process itself is asked to end, too, as it would replace what it started.
    """
    try:
        root = psutil.Process(pid)
        started = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for process in [root, *started] if asks_root or not started else started:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs([root, *started], timeout=grace_s)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=_KILLED_S)


def adopt_orphans() -> None:
    """Let the kernel make this process the parent of descendants that lose theirs, so that it can end them.

    Where the kernel cannot do that, which is everywhere but on Linux, nothing happens.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(pid: int, timeout_s: float = SERVER_KILLED_S) -> None:
    """Kill what a process started, in any session, until nothing is left; the process itself is spared.

    If the process adopts orphans, nothing escapes, not even a child that is being forked meanwhile.

    Args:
        pid: id of the process.
        timeout_s: seconds after which this returns in any case.
    """
    deadline = time.monotonic() + timeout_s
    # The list of processes is not read at one moment: a child may change its parent meanwhile and be missed.
    num_empty = 0
    while num_empty < 2 and time.monotonic() < deadline:
        num_alive = 0
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        num_alive += 1
                        process.kill()
        num_empty = 0 if num_alive else num_empty + 1
        time.sleep(0.02)
