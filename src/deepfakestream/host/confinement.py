"""What a process gives up for good before it reads what it should not trust. For Linux."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_MEGABYTE = 1 << 20


def limit_rights(*, memory_mb: int) -> None:
    """Bound this process and those that it starts from now on.

    It writes no files, leaves no core dump, and gets no new rights.

    Args:
        memory_mb: most addresses of each process, in MiB, in use or not; its program and libraries count.
    """
    _limit(resource.RLIMIT_AS, memory_mb * _MEGABYTE)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def limit_work(*, cpu_s: int, num_files: int = 256) -> None:
    """Bound the work of this process.

    Where it takes too much time the kernel ends it by SIGXCPU; where memory is short for all, it goes first.

    Args:
        cpu_s: processor time.
        num_files: files open at a time.
    """
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _limit(resource.RLIMIT_NOFILE, num_files)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 2))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")


def _limit(number: int, amount: int) -> None:
    hard = resource.getrlimit(number)[1]
    most = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(number, (most, most))


def leave_network() -> bool:
    """Cut this process and those that it starts off from all networks; tell whether the kernel allowed it.

    To be called before there are threads.
    """
    unshare = ctypes.CDLL(None).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    # Without rights of its own, a process may still do that in a user namespace, where these are allowed.
    return os.getuid() != 0 and unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
