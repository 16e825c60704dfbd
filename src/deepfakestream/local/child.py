"""One server as a child: in a process group of its own, which ends with this process, its output logged."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from deepfakestream.host.process_tree import SERVER_GRACE_S, SERVER_KILLED_S, guarded, kill_descendants
from deepfakestream.local.rotated_log import RotatedLog

Listener = Callable[[str, str], None]
"""Gets the server's name and a line of its output."""

_NUM_LAST_LINES = 12
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Child:
    """A running server process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        log: Path,
        listener: Listener,
    ) -> None:
        """Start the process.

        Args:
            name: short name of the server.
            command: program and arguments.
            environment: the whole environment of the process.
            cwd: folder to run in.
            log: file that gets every line after those of earlier processes; rotated at `LOG_BYTES`.
            listener: is called with each line, from a thread.
        """
        self.name = name
        self.log = log
        self._listener = listener
        self._last: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        self._stream = RotatedLog(log)
        # What an earlier process said must not count as this one's.
        self._own_from = log.stat().st_size
        self._process = subprocess.Popen(
            guarded("server", command),
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,  # nothing is written: it ends when this process does
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C in the terminal must reach us alone, and stopping must reach the server's own children.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"log-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Number of the process that leads the server's group."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    @property
    def last_lines(self) -> str:
        """The end of the output, for an error message."""
        if self.exit_status is not None:
            self._reader.join(timeout=2.0)
        return "\n".join(f"  {line}" for line in self._last)

    def has_said(self, words: str) -> bool:
        """Tell whether the words have appeared in the output."""
        with self.log.open("rb") as stream:
            stream.seek(self._own_from)
            return words.encode() in stream.read()

    def stop(self, grace_s: float = SERVER_GRACE_S) -> None:
        """Ask the process group to end, kill what is left after the grace, and wait until nothing is left.

        What the server started in other sessions ends, too.
        """
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while self.exit_status is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.exit_status is None:
            kill_descendants(self.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SERVER_KILLED_S)  # its guard ends by itself, once it is the last
        self._kill_group()
        self._process.wait()
        # The server's own children still hold ports and files for a moment after they were killed.
        deadline = time.monotonic() + SERVER_KILLED_S
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(0.02)
        self._reader.join(timeout=5.0)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _kill_group(self) -> None:
        """Kill what is left of the group, and what it started: there is some where the guard was killed."""
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(pid) == self.pid:
                    member = psutil.Process(pid)
                    for process in [*member.children(recursive=True), member]:
                        process.kill()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream, contextlib.closing(self._stream) as log:
            for raw in stream:
                line = _ANSI.sub("", raw.rstrip())
                if log.write(line):
                    self._own_from = 0
                if line.strip():
                    self._last.append(line)
                    self._listener(self.name, line)
