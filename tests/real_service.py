"""The service as people run it, for tests and benchmarks that need a real one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def cpu_s(pid: int) -> float:
    """Processor time of a process and of all that it started, those that have ended included."""
    root, total = psutil.Process(pid), 0.0
    for each in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(each.cpu_times()[:4])  # its own, and of children that were waited for
    return total


@dataclass
class RealService:
    """`deepfakestream serve` in a process of its own, with its worker, in a workspace of its own."""

    folder: Path
    port: int
    variables: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = os.environ | {
            "DEEPFAKESTREAM_WORKSPACE": str(self.folder), "DEEPFAKESTREAM_SERVICE_PORT": str(self.port),
        } | self.variables  # fmt: skip
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deepfakestream.cli", "serve"],
                cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + 240
        while True:
            assert time.monotonic() < deadline, (self.folder / "log.txt").read_text()[-3000:]
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            time.sleep(0.3)

    def processes(self) -> list[psutil.Process]:
        """All processes of the service."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def memory_bytes(self) -> int:
        """Memory of all processes; what they share counts once."""
        total = 0
        for each in self.processes():
            with suppress(psutil.NoSuchProcess):
                total += each.memory_full_info().pss
        return total

    def cpu_s(self) -> float:
        """Processor time of all processes, those that have ended included."""
        assert self.process is not None
        return cpu_s(self.process.pid)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)
            self.process = None
