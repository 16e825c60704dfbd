"""The crops that training may see: all that were extracted, less those that validation set aside."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from deepfakestream.data.crop_store import read_crop_table
from deepfakestream.errors import DataError

QUARANTINED_FILE = "quarantined.parquet"


def read_usable_crops(artifacts_dir: Path) -> pd.DataFrame:
    """Return the crop table without the crops that validation set aside: what training may see.

    Raises:
        DataError: the crops have not been extracted or not been validated.
    """
    crops = read_crop_table(artifacts_dir / "extract")
    path = artifacts_dir / "validate" / QUARANTINED_FILE
    if not path.exists():
        raise DataError(f"{path}: missing; validate the crops with 'dvc repro validate'")
    quarantined = set(pq.read_table(path).column("crop_id").to_pylist())
    return crops[~crops["crop_id"].isin(quarantined)].reset_index(drop=True)
