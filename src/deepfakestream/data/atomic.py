"""Files that are either whole or absent: write beside the target, then rename over it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfakestream.errors import DataError

logger = logging.getLogger(__name__)

PARTIAL_SUFFIX = ".partial"
_CHUNK_BYTES = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes `path`'s place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL_SUFFIX}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def replace_folder(folder: Path, by: Path) -> None:
    """Put a folder in another's place: a kill leaves the old one, the new one or none, but no part."""
    old = folder.with_name(f"{folder.name}.old{PARTIAL_SUFFIX}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    by.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def copy_verified(source: Path, target: Path, *, sha256: str) -> None:
    """Copy a file atomically, unless the target is there already.

    Raises:
        DataError: the source no longer has the digest that it had when it was examined.
    """
    if target.exists():
        return
    digest = hashlib.sha256()
    with replacing(target) as partial, source.open("rb") as reader, partial.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
        if digest.hexdigest() != sha256:
            raise DataError(f"{source}: changed while it was being ingested; ingest again once it is done")


def remove_partials(directory: Path) -> None:
    """Delete what a killed process left half-written under a directory."""
    for partial in directory.rglob(f"*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)


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
