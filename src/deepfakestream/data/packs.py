"""Pictures inside tar shards, read by offset: thousands of small files stay one file.

A tar may hold more than the manifest names: copies that were refused, files that no table lists. What has to
know all of it goes by the digests of the members.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from deepfakestream.errors import DataError

Extent = tuple[int, int]
"""Offset and size of a member's bytes in the tar."""


@lru_cache(maxsize=64)
def pack_index(path: Path) -> dict[str, Extent]:
    """Return where each regular file of a tar lies, by name.

    Raises:
        DataError: the file is missing or no uncompressed tar.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            return {member.name: (member.offset_data, member.size) for member in tar if member.isfile()}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such tar shard; correct the manifest or fetch the file") from error
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: not an uncompressed tar ({error}); pack the pictures again") from error


def read_member(path: Path, member: str) -> bytes:
    """Return the bytes of one file of a tar.

    Args:
        path: the tar.
        member: name in the tar.

    Raises:
        DataError: the tar is missing or damaged, or has no such member.
    """
    extent = pack_index(path).get(member)
    if extent is None:
        raise DataError(f"{path}: holds no '{member}'; the manifest and the tar do not belong together")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, extent[1], extent[0])
    finally:
        os.close(descriptor)


@contextmanager
def as_file(path: Path, member: str | None) -> Iterator[Path]:
    """Yield a path with the item's bytes: the file itself, or a temporary copy of the tar member.

    Args:
        path: the file or the tar.
        member: name in the tar; None: the file itself.
    """
    if member is None:
        yield path
        return
    with TemporaryDirectory(prefix="deepfakestream-") as folder:
        loose = Path(folder) / Path(member).name
        loose.write_bytes(read_member(path, member))
        yield loose


def member_digests(pack: IO[bytes]) -> Iterator[str]:
    """Yield the sha256 of each regular file of an open tar, also of those that a later one of its name hides.

    Raises:
        tarfile.TarError: it is no uncompressed tar, or breaks off.
    """
    pack.seek(0)
    with tarfile.open(fileobj=pack, mode="r:") as tar:
        for _, digest in _digested(tar):
            yield digest


def write_without(pack: Path, target: Path, digests: Collection[str]) -> None:
    """Write a tar with the regular files of another, but those of these sha256.

    Args:
        pack: the tar.
        target: the new tar.
        digests: sha256 of the contents to leave out.

    Raises:
        tarfile.TarError: the tar is no uncompressed one, or breaks off.
        OSError: one of them cannot be read or written.
    """
    with tarfile.open(pack, "r:") as old, tarfile.open(target, "w:") as new:
        for entry, digest in _digested(old):
            if digest not in digests:
                new.addfile(entry, old.extractfile(entry))


def _digested(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    for entry in tar:
        content = tar.extractfile(entry) if entry.isfile() else None
        if content is not None:
            yield entry, file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
