"""What a training leaves next to its weights about itself; read without loading PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.errors import WeightsError
from deepfakestream.frozen import Frozen

RUN_FILE = "run.json"


class TrainingItems(Frozen):
    """Which items a model was trained on: so many, of which the newest was ingested then."""

    count: int
    until: str
    """ISO time in UTC, as in the manifest."""


def new_training_items(manifest: pd.DataFrame, *, after: str) -> int:
    """Return how many items of the training split were ingested after a moment.

    Args:
        manifest: columns of `MANIFEST_COLUMNS`.
        after: ISO time in UTC, as in the manifest.
    """
    return int(((manifest["split"] == "train") & (manifest["ingested_at"].astype(str) > after)).sum())


def read_training_items(train_dir: Path) -> TrainingItems | None:
    """Return what the model of a folder was trained on; None where the folder does not say.

    Raises:
        WeightsError: the file that says it is damaged.
    """
    found = read_training_facts(train_dir / RUN_FILE, kind=dict) or {}
    items = found.get("training_items")
    return None if items is None else TrainingItems.model_validate(items)


def read_training_facts(path: Path, *, kind: type) -> Any:
    """Return the content of a file that training left next to its weights; None where there is none.

    Args:
        path: a JSON file.
        kind: that its content must have: dict or list.

    Raises:
        WeightsError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise WeightsError(f"{path}: damaged ({error}); run 'dvc repro --force train'") from error
    if not isinstance(found, kind):
        raise WeightsError(f"{path}: holds no {kind.__name__}; run 'dvc repro --force train'")
    return found
