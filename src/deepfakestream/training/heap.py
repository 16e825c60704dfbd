"""Memory that a training step frees is kept for the next one.

glibc hands large blocks back to the system when they are freed and asks for them again, so that every step
pays for the same page faults again: on a processor that was a third of a step (`tests/bench/test_heap.py`).
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
_NEVER_TRIM = 2**31 - 1
_TOP_PAD_BYTES = 256 * 2**20


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to its highest need; say whether the C library can do that.

    Only glibc can; elsewhere, and where another allocator is loaded before it, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_TOP_PAD, _TOP_PAD_BYTES))
    accepted = [bool(mallopt(option, value)) for option, value in settings]
    return all(accepted)
