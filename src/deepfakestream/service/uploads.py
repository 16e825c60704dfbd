"""An upload on disk: under a name of ours, for as long as somebody reads it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def stored(content: IO[bytes], *, prefix: str = "deepfakestream-upload-") -> Iterator[Path]:
    """Give the path of a temporary copy of the content; removed at the end, whatever happens.

    The name holds nothing of what the client sent: no file name, no suffix.
    """
    with tempfile.NamedTemporaryFile(prefix=prefix) as file:
        content.seek(0)
        shutil.copyfileobj(content, file, length=1 << 20)
        file.flush()
        yield Path(file.name)
