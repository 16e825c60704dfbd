"""Locks between processes: files that are held for a while."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfakestream.errors import DataError

logger = logging.getLogger(__name__)


@contextmanager
def exclusive(lock: Path, *, doing: str) -> Iterator[None]:
    """Hold a lock file for the block, so that one process at a time does this.

    Args:
        lock: file; it is made where it is missing and stays.
        doing: what is done, e.g. `ingesting`, for the error message.

    Raises:
        DataError: another process holds the lock.
    """
    with if_free(lock) as is_held:
        if not is_held:
            raise DataError(f"{lock}: another process is {doing}; wait until it has finished")
        yield


@contextmanager
def if_free(lock: Path) -> Iterator[bool]:
    """Hold a lock file for the block if no process holds it; yield whether it is held."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def in_turn(lock: Path, *, notice: str = "") -> Iterator[None]:
    """Hold a lock file for the block, after the process that holds it now.

    Args:
        lock: the file.
        notice: is logged before waiting.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if notice:
                logger.warning("%s: %s", lock, notice)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def shared(lock: Path) -> Iterator[None]:
    """Hold a lock file for the block together with others who share it; nobody holds it alone meanwhile."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
