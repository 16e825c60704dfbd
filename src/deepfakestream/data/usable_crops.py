"""The crops that training may see: less those that validation excluded, and faces that nobody faked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from deepfakestream.data.crop_store import read_crop_table
from deepfakestream.errors import DataError
from deepfakestream.faces.subjects import is_subject

QUARANTINED_FILE = "quarantined.parquet"


def read_usable_crops(artifacts_dir: Path) -> pd.DataFrame:
    """Return the crops that training may see, one row each: without those that validation excluded.

    A fake's label says that a face in it was faked, not which: of the fakes in the split train, only the
    faces of subjects stay. The other splits keep every face, as a scan would score them.

    Args:
        artifacts_dir: folder with `extract/` and `validate/`.

    Raises:
        DataError: the crops have not been extracted or not been validated.
    """
    crops = read_crop_table(artifacts_dir / "extract")
    path = artifacts_dir / "validate" / QUARANTINED_FILE
    if not path.exists():
        raise DataError(f"{path}: missing; validate the crops with 'dvc repro validate'")
    quarantined = set(pq.read_table(path).column("crop_id").to_pylist())
    subject = is_subject(crops["media_id"].to_numpy(dtype=str), crops["track_id"], crops["face_px"])
    bystander = ~subject & (crops["label"] == "fake") & (crops["split"] == "train")
    return crops[~(crops["crop_id"].isin(quarantined) | bystander)].reset_index(drop=True)
