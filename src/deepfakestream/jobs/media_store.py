"""Where the media of analyses and the pictures made from them lie: a folder that all workers reach.

A bucket is another implementation of `MediaStore`: objects named `ID/media`, `ID/heatmap-N.png` and
`ID/picture-…`. What is called a picture is a copy of what the media show, and goes with them.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from deepfakestream.host.process_place import is_running, process_name
from deepfakestream.host.whole_files import replacing

MEDIA = "media"
_PICTURES = "picture-*"
_INCOMING = "incoming"
_ABANDONED_S = 24 * 3600.0
"""Age from which an upload of another machine is left over."""


class MediaStore(Protocol):
    """Files of analyses, by the analysis's id and a name within it."""

    def incoming(self) -> Path:
        """Return a path on this machine for an upload that arrives; nothing is there yet."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """Give an empty folder on this machine; what is in it then is removed, after a kill by the sweep."""
        ...

    def keep(self, analysis_id: str, upload: Path, *, durable: bool) -> None:
        """Take a whole upload over as the media of an analysis.

        Args:
            analysis_id: the analysis.
            upload: the file, at a path that `incoming` gave.
            durable: whether it must survive a power cut once this returns.
        """
        ...

    def media(self, analysis_id: str) -> AbstractContextManager[Path]:
        """Give the path of the media on this machine.

        Raises:
            FileNotFoundError: there are none any more.
        """
        ...

    def write(self, analysis_id: str, name: str, content: bytes) -> None:
        """Store a file made from the media.

        Args:
            analysis_id: whose file it is.
            name: of the file.
            content: its bytes.
        """
        ...

    def read(self, analysis_id: str, name: str) -> bytes:
        """Return a stored file.

        Args:
            analysis_id: whose file it is.
            name: of the file.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        ...

    def remove_media(self, analysis_id: str) -> None:
        """Remove the media of an analysis and their pictures; heat maps stay."""
        ...

    def remove(self, analysis_id: str) -> None:
        """Remove everything of an analysis; one that is gone already is fine."""
        ...

    def stored_ids(self, *, min_age_s: float) -> Iterator[str]:
        """Return the analyses that have files, where the newest is of an age."""
        ...

    def remove_partial_uploads(self) -> None:
        """Remove uploads and scratch folders whose process was killed."""
        ...


class FolderStore:
    """A folder, of this machine or shared by several."""

    def __init__(self, folder: Path) -> None:
        """Use the folder, made where it is missing; only its owner may read it.

        Raises:
            OSError: it cannot be made.
        """
        self._folder = folder
        (folder / _INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def incoming(self) -> Path:
        """Return a path for an upload that arrives, on the file system of the folder."""
        return self._folder / _INCOMING / f"{process_name()}.{uuid.uuid4().hex}"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder next to the uploads that arrive."""
        folder = self.incoming()
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, analysis_id: str, upload: Path, *, durable: bool) -> None:
        """Move a whole upload to its place.

        Args:
            analysis_id: whose media it is.
            upload: path from `incoming`; it is gone afterwards.
            durable: return only once it is on disk.
        """
        folder = self._of(analysis_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if durable:
            with upload.open("rb") as file:
                os.fsync(file.fileno())
        upload.rename(folder / MEDIA)
        if durable:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def media(self, analysis_id: str) -> Iterator[Path]:
        """Give the path of the media."""
        path = self._of(analysis_id) / MEDIA
        path.stat()
        yield path

    def write(self, analysis_id: str, name: str, content: bytes) -> None:
        """Store a file made from the media, whole or not at all.

        Args:
            analysis_id: whose file it is.
            name: of the file.
            content: its bytes.
        """
        folder = self._of(analysis_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(folder / name) as partial:
            partial.write_bytes(content)

    def read(self, analysis_id: str, name: str) -> bytes:
        """Return a stored file.

        Args:
            analysis_id: whose file it is.
            name: of the file.
        """
        return (self._of(analysis_id) / name).read_bytes()

    def remove_media(self, analysis_id: str) -> None:
        """Remove the media of an analysis and their pictures."""
        folder = self._of(analysis_id)
        for path in (folder / MEDIA, *folder.glob(_PICTURES)):
            path.unlink(missing_ok=True)

    def remove(self, analysis_id: str) -> None:
        """Remove the folder of an analysis."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._of(analysis_id))

    def stored_ids(self, *, min_age_s: float) -> Iterator[str]:
        """Return the analyses that have a folder, where that is of an age."""
        newest = time.time() - min_age_s
        for path in self._folder.glob("an_*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < newest:
                    yield path.name

    def remove_partial_uploads(self) -> None:
        """Remove what processes left that have ended; of other machines, after a day."""
        oldest = time.time() - _ABANDONED_S
        for path in (self._folder / _INCOMING).iterdir():
            running = is_running(path.name.rpartition(".")[0])
            with suppress(FileNotFoundError):
                if running is False or (running is None and path.stat().st_mtime < oldest):
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()

    def _of(self, analysis_id: str) -> Path:
        assert "/" not in analysis_id
        return self._folder / analysis_id
