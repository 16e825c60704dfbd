"""Media files among paths given by a user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from deepfakestream.media.containers import read_head, sniff

MEDIA_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".mp4",
        ".m4v",
        ".mov",
        ".3gp",
        ".3g2",
        ".mkv",
        ".webm",
        ".avi",
        ".wmv",
        ".asf",
        ".flv",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".vob",
        ".ogv",
        ".mxf",
        ".h264",
        ".264",
        ".avc",
        ".h265",
        ".265",
        ".hevc",
        ".m1v",
        ".m2v",
        ".m2t",
        ".m2p",
        ".mod",
        ".tod",
        ".ivf",
        ".obu",
        ".dv",
        ".qt",
        ".f4v",
        ".divx",
    }
)

_FolderId = tuple[int, int]


def find_media(paths: Sequence[Path]) -> list[Path]:
    """Return the files to look at, each once.

    A file that was named is kept as it is, whatever it holds and even where it is missing. A folder is
    searched to any depth, in sorted order, for files that carry a media suffix or begin like media; hidden
    files and folders are skipped. A link to a folder is followed, unless that folder is searched anyway or
    contains the searched one. A folder in it that cannot be read is kept like a file that was named, so that
    opening it gives the error.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_walk(path) if is_folder(path) else [path]))
    return list(found)


def is_folder(path: Path) -> bool:
    """Tell whether the path is a folder; a path that cannot be asked, e.g. for its length, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _walk(folder: Path) -> Iterator[Path]:
    unreadable: list[Path] = []
    entered = _own_folders(folder)
    for root, folders, files in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename)), followlinks=True
    ):
        folders[:] = [name for name in sorted(folders) if _may_enter(Path(root, name), entered)]
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and _is_candidate(path):
                yield path
    yield from unreadable


def _own_folders(folder: Path) -> set[_FolderId]:
    """Return the folders that a search meets without following links, and those that contain it."""
    below: set[_FolderId] = set()
    for root, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below.add(_folder_id(Path(root)))
    with suppress(OSError):
        below.update([_folder_id(parent) for parent in folder.resolve().parents])
    return below


def _may_enter(path: Path, entered: set[_FolderId]) -> bool:
    """Say whether to search a folder: a link only where it leads to one that no path has led to yet."""
    if path.name.startswith("."):
        return False
    try:
        here = _folder_id(path)
    except OSError:
        return True  # listing it gives the error
    is_new = here not in entered
    entered.add(here)
    return is_new or not path.is_symlink()


def _folder_id(path: Path) -> _FolderId:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_candidate(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
    except OSError:
        return True  # opening it gives the error
    if path.suffix.lower() in MEDIA_SUFFIXES:
        return True
    try:
        return sniff(read_head(path)) is not None
    except OSError:
        return False
