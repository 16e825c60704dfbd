"""A worker's hold on the process that reads media: gives it tasks, limits their time, replaces it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

COMMAND = (sys.executable, "-m", "deepfakestream.service.scan_process")
BACKGROUND_COMMAND = (*COMMAND, "background")
"""The same, where everything else goes first."""
START_TIMEOUT_S = 180.0
"""Longest time that loading a model may take."""
TICK_S = 5.0
"""How often a running task is looked after: well below the lease of a job."""
_LOG = logging.getLogger(__name__)


class ScannerLost(Exception):  # noqa: N818 - says what happened to the process, not to us
    """The process ended in the middle of a task."""


class ScannerNotStarted(Exception):  # noqa: N818
    """The process ended or went silent before it was ready for its first task."""


class TaskTimeout(Exception):  # noqa: N818
    """A task took longer than it may; its process was ended."""


class TaskDropped(Exception):  # noqa: N818
    """The task is no longer wanted; its process was ended."""


@dataclass(slots=True)
class TaskProgress:
    """What the process said last."""

    stage: str = "load"
    done: int = 0
    total: int | None = None


class Scanner:
    """One process at a time, started when it is needed. Used from one thread."""

    def __init__(self, command: Sequence[str] = COMMAND, *, tick_s: float = TICK_S) -> None:
        self._command = command
        self._tick_s = tick_s
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int | None:
        """Number of the process, or None where there is none."""
        return self._process.pid if self._process else None

    def run(
        self, task: dict[str, Any], *, timeout_s: float, keep: Callable[[TaskProgress], bool]
    ) -> dict[str, Any]:
        """Return the answer to a task.

        Args:
            task: what to do; see `scan_process`.
            timeout_s: longest time.
            keep: is called every few seconds and at each step; False ends the task.

        Raises:
            ScannerLost: the process ended before its answer.
            ScannerNotStarted: there is no process, and a new one does not come up.
            TaskTimeout: the time is over.
            TaskDropped: `keep` said no.
        """
        try:
            return self._run(task, timeout_s, keep)
        except BaseException:
            self.stop()  # a process in the middle of a task would give its answer to the next
            raise

    def stop(self) -> None:
        """End the process at once; what it reads may not let it end by itself."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # its buffer cannot be written any more
                    stream.close()

    def _run(
        self, task: dict[str, Any], timeout_s: float, keep: Callable[[TaskProgress], bool]
    ) -> dict[str, Any]:
        progress = TaskProgress()
        process = self._started(lambda: keep(progress))
        deadline = time.monotonic() + timeout_s
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
        except OSError as error:
            raise ScannerLost from error
        while True:
            message = self._next(process, min(self._tick_s, max(0.0, deadline - time.monotonic())))
            if message is not None and "stage" not in message:
                return message
            if message is not None:
                progress = TaskProgress(message["stage"], message["done"], message["total"])
            if time.monotonic() >= deadline:
                raise TaskTimeout
            if not keep(progress):
                raise TaskDropped

    def _started(self, keep: Callable[[], bool]) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        process = self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                message = self._next(process, self._tick_s)
            except ScannerLost as error:
                raise ScannerNotStarted from error
            if message is not None and message.get("ready"):
                return process
            if not keep():
                raise TaskDropped
        raise ScannerNotStarted

    def _next(self, process: subprocess.Popen[bytes], wait_s: float) -> dict[str, Any] | None:
        """Return the next message, or None where there is none in time.

        Raises:
            ScannerLost: the process has ended.
        """
        assert process.stdout is not None
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([process.stdout], [], [], wait_s)
            if not readable:
                return None
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                status = process.wait()
                _LOG.warning("the scanning process ended with status %s", status)
                raise ScannerLost
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
