"""An upload on disk: under a name of ours, for as long as somebody reads it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PREFIX = "deepfakestream-upload-"
LEFT_BEHIND_S = 3600.0
"""Age from which no request can still be using its upload."""


def remove_leftovers() -> None:
    """Remove uploads that a killed process left in the folder of temporary files."""
    newest = time.time() - LEFT_BEHIND_S
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process may be faster, or the file another user's
            if path.stat().st_mtime < newest:
                path.unlink()


@contextmanager
def stored(content: IO[bytes]) -> Iterator[Path]:
    """Give the path of a temporary copy of the content; removed at the end, also when the work in it fails.

    The name holds nothing of what the client sent: no file name, no suffix. What a killed process leaves
    is found by `remove_leftovers`.
    """
    with tempfile.NamedTemporaryFile(prefix=PREFIX) as file:
        content.seek(0)
        shutil.copyfileobj(content, file, length=1 << 20)
        file.flush()
        yield Path(file.name)
