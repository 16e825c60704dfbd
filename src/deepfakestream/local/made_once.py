"""A folder that is made once: whole or not there, and never over what somebody else keeps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import PARTIAL_SUFFIX

MARK = ".deepfakestream-sample"
"""File that says of a folder, half-made or whole, that a sample was being made in it."""


@contextmanager
def filled(directory: Path) -> Iterator[Path]:
    """Yield a folder to fill; it becomes `directory` when the block ends, and goes away where that fails.

    Nothing is deleted but what a killed run left half-made beside `directory`.

    Raises:
        DataError: the folder, or the half-made one beside it, holds something else; the message
            says what to do.
    """
    _require_free(directory)
    partial = directory.with_name(directory.name + PARTIAL_SUFFIX)
    _remove_half_made(partial)
    partial.mkdir(parents=True)
    (partial / MARK).touch()
    try:
        yield partial
        partial.replace(directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _require_free(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if directory.exists() or directory.is_symlink():
        raise DataError(
            f"{directory}: holds something that is no sample, and nothing of it is overwritten; name a "
            "folder that is new or empty"
        )


def _remove_half_made(partial: Path) -> None:
    if (partial / MARK).is_file() and not partial.is_symlink():
        shutil.rmtree(partial)
    elif partial.exists() or partial.is_symlink():
        raise DataError(
            f"{partial}: is in the way, and is not what a killed 'deepfakestream sample' left; move it away, "
            "or name another folder"
        )
