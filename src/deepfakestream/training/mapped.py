"""Arrays in files that every process of a training maps into memory, so that no process holds its own copy.

Workers are spawned, not forked, so what they get is pickled: a mapped array is sent as its path, whatever its
size. Files are used rather than shared memory because containers often have only 64 MB of the latter.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfakestream.host.locks import if_free, in_turn, shared
from deepfakestream.host.whole_files import partial_folder, replacing_folder


def open_mapped(path: Path) -> NDArray[Any]:
    """Return the array in a `.npy` file, of any shape, mapped for reading.

    Pages are loaded when they are touched.
    """
    array: NDArray[Any] = np.load(path, mmap_mode="r")
    return array


def write_stacked(path: Path, arrays: Iterable[NDArray[Any]], *, count: int) -> None:
    """Write arrays of one shape and type as one `.npy` file, one after the other.

    They are not written through a map: on a full disk that would end the process by a signal, without a word.

    Args:
        path: the file.
        arrays: at least one; the file holds `(count, ...)`.
        count: how many they are.

    Raises:
        OSError: the file cannot be written, e.g. because the disk is full.
    """
    with path.open("wb") as file:
        for index, array in enumerate(arrays):
            if index == 0:
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": (count, *array.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(array).data)


def handle_of(array: NDArray[Any]) -> Path | None:
    """Return the `.npy` file that an array maps as a whole, or None for any other array."""
    if not isinstance(array, np.memmap) or not isinstance(array.filename, Path):
        return None
    whole = open_mapped(array.filename)
    same = (whole.shape, whole.strides, whole.dtype) == (array.shape, array.strides, array.dtype)
    return array.filename if same else None


@contextmanager
def shared_folder(root: Path, key: str, fill: Callable[[Path], None]) -> Iterator[Path]:
    """Give the folder `root/key` with what `fill` puts into it; it is removed when nobody uses it any more.

    Processes that ask for the same key at the same time get the same folder, filled once. What a killed
    process left is used by the next with its key and removed by the next with another.

    Args:
        root: folder of such folders.
        key: names the content; other content needs another key.
        fill: writes the content into the empty folder that it is given.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder = root / key
    for other in root.glob("*.lock"):
        if other.stem != key:
            _remove_if_unused(other)
    lock = root / f"{key}.lock"
    try:
        with shared(lock):  # nobody removes the folder meanwhile
            # A lock of its own for filling: turning a shared lock into an exclusive one waits for all others.
            with in_turn(folder.with_suffix(".filling")):
                if not folder.exists():
                    with replacing_folder(folder) as partial:
                        fill(partial)
            yield folder
    finally:
        _remove_if_unused(lock)


def _remove_if_unused(lock: Path) -> None:
    with if_free(lock) as is_held:
        if is_held:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            shutil.rmtree(partial_folder(lock.with_suffix("")), ignore_errors=True)
            lock.with_suffix(".filling").unlink(missing_ok=True)  # only who holds the other lock opens it
