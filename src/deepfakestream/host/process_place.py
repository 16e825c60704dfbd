"""Names of processes that tell, later and elsewhere, whether the process still runs.

A name holds where a process runs (host and process namespace), its number and the time of its start: numbers
are used again, and containers of one image all begin at 1.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


@cache
def place() -> str:
    """Return where this process runs: processes of one place see each other's numbers."""
    return f"{socket.gethostname()}-{Path('/proc/self/ns/pid').stat().st_ino}"


def process_name(pid: int | None = None) -> str:
    """Return a name for a process of this machine, different from that of every other on all machines.

    Args:
        pid: its number; default: this process.
    """
    return _own_name(os.getpid()) if pid is None else f"{place()}-{pid}-{_started(pid)}"


@cache
def _own_name(pid: int) -> str:
    """Return the name of this process, which is asked for at each upload; a fork of it has another number."""
    return process_name(pid)


def is_running(name: str) -> bool | None:
    """Tell whether the process of a name runs; None where that cannot be seen from here."""
    where, _, started = name.rpartition("-")
    where, _, number = where.rpartition("-")
    if where != place() or not number.isdecimal():
        return None
    return _started(int(number)) == started


def _started(pid: int) -> str:
    """Return the start of a process in ticks since the boot, or nothing where it has ended."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
