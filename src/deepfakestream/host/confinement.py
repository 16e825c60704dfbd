"""What a process gives up for good before it reads what it should not trust. For Linux."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that a process may take."""

    memory_mb: int
    """Of addresses, in use or not, those of the program and its libraries among them."""
    cpu_s: int
    num_files: int = 256
    """Open at a time."""


def limit_process(limits: Limits) -> None:
    """Bound this process from now on; it writes no files, leaves no core dump, and gets no new rights.

    Where it takes too much time the kernel ends it by SIGXCPU; where memory is short for all, it goes first.
    """
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    for number, amount in (
        (resource.RLIMIT_AS, limits.memory_mb * _MEGABYTE),
        (resource.RLIMIT_NOFILE, limits.num_files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(number)[1]
        most = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(number, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 2))
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")


def leave_network() -> bool:
    """Cut this process and those that it starts off from all networks; tell whether the kernel allowed it.

    To be called before there are threads.
    """
    unshare = ctypes.CDLL(None).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    # Without rights of its own, a process may still do that in a user namespace, where these are allowed.
    return os.getuid() != 0 and unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
