"""Runs a program for another process, and ends it with all that it started when that process is gone.

`python -m deepfakestream.host.process_guard PROGRAM ...`: standard input is a pipe that the other process
holds open. It closes when that process lets go of it, and also when it is killed. The exit status is the
program's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from deepfakestream.host.process_tree import end_tree


def main() -> None:
    """Run the program that the arguments name."""
    # Ctrl-C in a terminal reaches the program too; what it makes of it decides.
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) as process:
        signal.signal(signal.SIGTERM, lambda *_: end_tree(process.pid))
        threading.Thread(target=_end_with_owner, args=(process.pid,), daemon=True).start()
    # A program that a signal ended has no status of its own; this is what a shell makes of it.
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


def _end_with_owner(pid: int) -> None:
    # Not by sys.stdin: the interpreter cannot end while a thread waits inside its buffer.
    while os.read(0, 1):
        pass
    end_tree(pid)


if __name__ == "__main__":
    main()
