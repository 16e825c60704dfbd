"""Files that are either whole or absent: write beside the target, then rename over it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfakestream.errors import DataError

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


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; it takes its place when the block ends without an error."""
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    replace_folder(folder, partial)


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
