"""Runs a program for another process, and ends it with all that it started when that process is gone.

Standard input is a pipe that the other process holds open. The kernel closes it when that process lets go
of it, and also when it is killed. The exit status is the program's. `process_tree.guarded` gives the command.

A stage is ended by TERM for its guard. For a server TERM goes to the process group that its guard leads, and
is the server's to answer. What a server leaves behind when it ends is killed: BentoML's workers run in
sessions of their own, and one that is being forked while BentoML ends would go on for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from deepfakestream.host.process_tree import (
    GRACE_S,
    SERVER_GRACE_S,
    adopt_orphans,
    end_tree,
    kill_descendants,
)


def main() -> None:
    """Run the program that the arguments name."""
    way, *command = sys.argv[1:]
    is_server = way == "server"
    adopt_orphans()
    # Handled, not ignored: that would be inherited. Ctrl-C in a terminal reaches the program, too.
    signal.signal(signal.SIGINT, lambda *_: None)
    if is_server:
        signal.signal(signal.SIGTERM, lambda *_: None)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if not is_server:
        signal.signal(signal.SIGTERM, lambda *_: _end(process.pid, is_server))
    is_ending = threading.Event()
    ending = threading.Thread(target=_end_with_owner, args=(process.pid, is_server, is_ending), daemon=True)
    ending.start()
    process.returncode = _wait_for(process.pid)
    if is_server:
        kill_descendants(os.getpid())
    if is_ending.is_set():  # the program is gone; what it started may not be, yet
        ending.join()
    # A program that a signal ended has no status of its own; this is what a shell makes of it.
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


def _wait_for(pid: int) -> int:
    """Return the exit status of the program, negative for a signal; adopted processes are collected too."""
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:  # it was ended here, and collected there
            return -signal.SIGKILL
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _end_with_owner(pid: int, is_server: bool, is_ending: threading.Event) -> None:
    # Not by sys.stdin: the interpreter cannot end while a thread waits inside its buffer.
    while os.read(0, 1):
        pass
    is_ending.set()
    _end(pid, is_server)


def _end(pid: int, is_server: bool) -> None:
    end_tree(pid, SERVER_GRACE_S if is_server else GRACE_S, asks_root=is_server)
    kill_descendants(os.getpid())


if __name__ == "__main__":
    main()
