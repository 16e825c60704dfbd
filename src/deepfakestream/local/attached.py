"""Runs a server that ends with its starter: `python -m deepfakestream.local.attached PROGRAM ARGUMENT...`.

Standard input is a pipe from the starter. The kernel closes it when the starter ends, also after SIGKILL.
Without that, its servers would keep their ports and go on with an old model.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

import psutil

GRACE_S = 10.0
"""From TERM to KILL."""
_POLL_S = 0.2


def main(command: list[str]) -> int:
    """Run the command to its end, or to the end of standard input, and return its exit status.

    This process leads a process group of its own; TERM for the group is the command's to answer.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave_it_to_the_command)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        while server.poll() is None:
            if select.select([sys.stdin], [], [], _POLL_S)[0]:
                _end_group()
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _leave_it_to_the_command(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike a signal that is ignored, this is not inherited by the command."""


def _end_group() -> None:
    """End the command, what it started, and this process."""
    started = psutil.Process().children(recursive=True)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    for process in started:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) != os.getpgrp():
                process.terminate()
    for process in psutil.wait_procs(started, timeout=GRACE_S)[1]:
        process.kill()
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
