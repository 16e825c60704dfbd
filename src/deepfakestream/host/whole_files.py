"""Files that are either whole or absent: write next to the target, then rename over it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from deepfakestream.errors import DataError

PARTIAL_SUFFIX = ".partial"
_CHUNK_BYTES = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it takes `path`'s place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}{PARTIAL_SUFFIX}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder next to `folder`; it takes its place when the block ends without an error.

    A kill leaves the old folder, the new one or none, but never a part of one. What it leaves half-written
    is removed by the next call.
    """
    partial, old = partial_folder(folder), folder.with_name(f".{folder.name}.old{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def partial_folder(folder: Path) -> Path:
    """Return where `replacing_folder` writes before the folder is complete."""
    return folder.with_name(f".{folder.name}{PARTIAL_SUFFIX}")


def append_line(path: Path, line: str) -> None:
    """Append a line; it is on disk when this returns. Nobody else may append meanwhile.

    Args:
        path: of the file, made where it is missing.
        line: without its end.

    Raises:
        OSError: the file cannot be written, e.g. the disk is full; it is as it was before.
    """
    with path.open("a+b", buffering=0) as stream:
        size = stream.seek(0, os.SEEK_END)
        content = line.encode() + b"\n"
        if size:
            stream.seek(size - 1)
            if stream.read(1) != b"\n":  # a crash cut the last line short: it must not spoil this one
                content = b"\n" + content
        try:
            if stream.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(size)
            raise


def copy_verified(source: Path, target: Path, *, sha256: str) -> None:
    """Copy a file atomically, unless the target is there already.

    Args:
        source: the file.
        target: where it goes.
        sha256: digest that it must have.

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
