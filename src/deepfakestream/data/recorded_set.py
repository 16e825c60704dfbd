"""The set that `data.dvc` names, where `data/` is not here: it is not to be replaced by accident."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from deepfakestream.data.atomic import PARTIAL_SUFFIX
from deepfakestream.data.examination import ExaminedItem
from deepfakestream.data.ingestion import stored_path
from deepfakestream.data.manifest import MANIFEST_FILE, write_manifest
from deepfakestream.data.versions import DvcRepo
from deepfakestream.errors import DataError


class RecordedSet:
    """What `data.dvc` of a workspace records."""

    def __init__(self, workspace: Path, data_dir: Path) -> None:
        repo = DvcRepo(workspace)
        self._pointer = workspace / "data.dvc"
        self._data_dir = data_dir
        self._is_away = repo.exists and self._pointer.exists() and not (data_dir / MANIFEST_FILE).exists()

    def require_reachable(self) -> None:
        """Stop where a set is recorded but not here, unless this ingestion may make the very same one.

        Only one that takes its time from `SOURCE_DATE_EPOCH` can: the manifest holds the time.

        Raises:
            DataError: what is ingested now would replace the recorded set.
        """
        if self._is_away and not os.environ.get("SOURCE_DATE_EPOCH"):
            raise self._error()

    def require_same(self, new: Iterable[ExaminedItem], manifest: pd.DataFrame) -> None:
        """Stop where a set is recorded but not here, and these items do not make the very same one.

        Raises:
            DataError: what is ingested now would replace the recorded set.
        """
        if not self._is_away:
            return
        md5_of = {stored_path(item): _md5(item.item.path) for item in new}
        for path in self._data_dir.rglob("*"):
            if path.is_file() and path.suffix != PARTIAL_SUFFIX:
                md5_of[path.relative_to(self._data_dir).as_posix()] = _md5(path)
        with TemporaryDirectory(prefix="deepfakestream-") as folder:
            write_manifest(Path(folder), manifest)
            md5_of[MANIFEST_FILE] = _md5(Path(folder, MANIFEST_FILE))
        if version_of(md5_of) != DvcRepo(self._pointer.parent).data_digest():
            raise self._error()

    def _error(self) -> DataError:
        return DataError(
            f"{self._pointer}: names a set that is not here, and what is ingested now would replace it; run "
            "'deepfakestream data pull' first, or move data.dvc away to begin another set"
        )


def version_of(md5_of: dict[str, str]) -> str:
    """Return the digest that DVC gives to a folder of these files: md5 by path relative to it."""
    listing = [{"md5": md5_of[path], "relpath": path} for path in sorted(md5_of)]
    return f"{hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest()}.dir"


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
