"""The dataset that `data.dvc` names, where `data/` is not it: it is not to be replaced by accident."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from deepfakestream.data.ingestion.examination import ExaminedItem
from deepfakestream.data.ingestion.intake import stored_path
from deepfakestream.data.manifest import MANIFEST_FILE, write_manifest
from deepfakestream.data.versioning.repository import POINTER_FILE, DvcRepo, folder_digest
from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import PARTIAL_SUFFIX


class RecordedSet:
    """What `data.dvc` of a workspace records."""

    def __init__(self, workspace: Path, data_dir: Path) -> None:
        self._repo = DvcRepo(workspace)
        self._pointer = workspace / POINTER_FILE
        self._data_dir = data_dir
        self.is_away = (
            self._repo.exists and self._pointer.exists() and not (data_dir / MANIFEST_FILE).exists()
        )
        """Whether a dataset is recorded and not here, as in a clone before `data pull`."""

    def require_reachable(self) -> None:
        """Stop where a dataset is recorded but not here, unless this ingestion may make the very same one.

        Only one that takes its time from `SOURCE_DATE_EPOCH` can: the manifest holds the time.

        Raises:
            DataError: what is ingested now would replace the recorded dataset.
        """
        self._repo.require_named_data()
        if self.is_away and not os.environ.get("SOURCE_DATE_EPOCH"):
            raise self._error()

    def require_same(self, new: Iterable[ExaminedItem], manifest: pd.DataFrame) -> None:
        """Stop where a dataset is recorded but not here, and these items do not make the very same one.

        Args:
            new: items that are taken in.
            manifest: the dataset that is here, one row an item.

        Raises:
            DataError: what is ingested now would replace the recorded dataset.
        """
        if not self.is_away:
            return
        files = {stored_path(item): item.item.path for item in new}  # a tar once, whatever its members
        for path in self._data_dir.rglob("*"):
            if path.is_file() and path.suffix != PARTIAL_SUFFIX:
                files[path.relative_to(self._data_dir).as_posix()] = path
        with TemporaryDirectory(prefix="deepfakestream-") as folder:
            write_manifest(Path(folder), manifest)
            files[MANIFEST_FILE] = Path(folder, MANIFEST_FILE)
            md5_of = {}
            for name, path in files.items():
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
                md5_of[name] = digest.hexdigest()
        if folder_digest(md5_of) != self._repo.data_digest():
            raise self._error()

    def _error(self) -> DataError:
        return DataError(
            f"{self._pointer}: names a dataset that is not pulled, and this ingestion would replace it; run "
            "'deepfakestream data pull' first, or move data.dvc away to begin another dataset"
        )
