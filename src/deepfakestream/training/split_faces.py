"""The faces of the splits that training uses, decoded once into files that all its processes map."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from deepfakestream import __version__
from deepfakestream.data.crop_store import read_images
from deepfakestream.data.digests import table_digest
from deepfakestream.errors import DataError
from deepfakestream.training.face_set import FaceSet, find_meshes
from deepfakestream.training.mapped import open_mapped, shared_folder, write_stacked

SPLITS = "train", "val"


@contextmanager
def face_sets(
    table: pd.DataFrame, *, extract_dir: Path, faces_dir: Path, crop_scale: float
) -> Iterator[dict[str, FaceSet]]:
    """Give the faces of the splits `train` and `val`; their files go when nobody uses them.

    Args:
        table: rows of the crop table.
        extract_dir: folder with the crops.
        faces_dir: folder for the decoded faces.
        crop_scale: side of the crops over the longer box side.

    Raises:
        DataError: a split has no crop, or a shard is missing or damaged.
    """
    for split in SPLITS:
        if not (table["split"] == split).any():
            raise DataError(
                f"split '{split}' has no usable face crop; ingest more source groups or change "
                "ingest.split_salt"
            )
    key = hashlib.sha256(f"{table_digest(table)} {crop_scale} {__version__}".encode()).hexdigest()[:16]
    fill = partial(_write_faces, table, extract_dir, crop_scale)
    with shared_folder(faces_dir, key, fill) as folder:
        yield {split: _read_faces(table, split, folder) for split in SPLITS}


def _write_faces(table: pd.DataFrame, extract_dir: Path, crop_scale: float, folder: Path) -> None:
    for split in SPLITS:
        rows = table[table["split"] == split]
        pictures = read_images(extract_dir, rows)
        path = folder / f"{split}-images.npy"
        write_stacked(path, pictures, count=len(rows))
        is_real = (rows["label"] == "real").to_numpy()
        points = find_meshes(open_mapped(path), is_real, crop_scale=crop_scale)
        np.save(folder / f"{split}-points.npy", points)


def _read_faces(table: pd.DataFrame, split: str, folder: Path) -> FaceSet:
    rows = table[table["split"] == split]
    return FaceSet(
        images=open_mapped(folder / f"{split}-images.npy"),
        is_fake=(rows["label"] == "fake").to_numpy(),
        media_ids=rows["media_id"].to_numpy(dtype=str),
        track_ids=rows["track_id"].to_numpy(dtype=np.int64),
        groups=rows["group_id"].to_numpy(dtype=str),
        sources=rows["source"].to_numpy(dtype=str),
        points=open_mapped(folder / f"{split}-points.npy"),
    )
