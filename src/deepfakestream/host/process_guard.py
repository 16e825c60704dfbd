"""Runs a program for another process, and ends it with all that it started when that process is gone.

Standard input is a pipe that the other process holds open. The kernel closes it when that process lets go
of it, and also when it is killed. The exit status is the program's. `process_tree.guarded` gives the command.

A stage is ended by TERM for its guard. For a server TERM goes to the process group that its guard leads, and
is the server's to answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from deepfakestream.host.process_tree import GRACE_S, SERVER_GRACE_S, end_tree


def main() -> None:
    """Run the program that the arguments name."""
    way, *command = sys.argv[1:]
    is_server = way == "server"
    # Handled, not ignored: that would be inherited. Ctrl-C in a terminal reaches the program, too.
    signal.signal(signal.SIGINT, lambda *_: None)
    if is_server:
        signal.signal(signal.SIGTERM, lambda *_: None)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        if not is_server:
            signal.signal(signal.SIGTERM, lambda *_: end_tree(process.pid))
        is_ending = threading.Event()
        ending = threading.Thread(
            target=_end_with_owner, args=(process.pid, is_server, is_ending), daemon=True
        )
        ending.start()
    if is_ending.is_set():  # the program is gone; what it started may not be, yet
        ending.join()
    # A program that a signal ended has no status of its own; this is what a shell makes of it.
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


def _end_with_owner(pid: int, is_server: bool, is_ending: threading.Event) -> None:
    # Not by sys.stdin: the interpreter cannot end while a thread waits inside its buffer.
    while os.read(0, 1):
        pass
    is_ending.set()
    end_tree(pid, SERVER_GRACE_S if is_server else GRACE_S, asks_root=is_server)
    if is_server:  # and what had lost its parent before
        os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
