"""Media files among paths given by a user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepfakestream.media.signatures import read_head, sniff

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
    }
)


def find_media(paths: Sequence[Path]) -> list[Path]:
    """Return the files to look at, each once.

    A file that was named is kept as it is, whatever it holds and even where it is missing. A folder is
    searched to any depth, in sorted order, for files that carry a media suffix or begin like media; hidden
    files and folders are skipped and links to folders are not followed.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_walk(path) if path.is_dir() else [path]))
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            if not name.startswith(".") and _is_candidate(path):
                yield path


def _is_candidate(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() in MEDIA_SUFFIXES:
        return True
    try:
        return sniff(read_head(path)) is not None
    except OSError:
        return False
