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

    Raises:
        DataError: another process holds the lock.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{lock}: another process is {doing}; wait until it has finished") from error
        yield


@contextmanager
def in_turn(lock: Path, *, notice: str = "") -> Iterator[None]:
    """Hold a lock file for the block, after whoever holds it now; with a notice, log it before waiting."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if notice:
                logger.warning("%s: %s", lock, notice)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
