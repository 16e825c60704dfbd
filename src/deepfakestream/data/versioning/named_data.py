"""The items of the version that `data.dvc` names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.versioning.repository import DvcRepo


def read_named_items(workspace: Path, data_dir: Path) -> pd.DataFrame:
    """Return the manifest, one row an item, where the dataset is the one that `data.dvc` names.

    Args:
        workspace: folder of the workspace.
        data_dir: folder of the dataset.

    Raises:
        DataError: nothing has been ingested, the manifest is damaged, or `data.dvc` came from elsewhere and
            names another version than `data/` holds.
    """
    DvcRepo(workspace).require_named_data()
    return read_manifest(data_dir)
