"""Near duplicates across splits: the same picture or clip under two groups, learnt and then tested."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from deepfakestream.data.crop_store import CropReader
from deepfakestream.data.manifest import item_names
from deepfakestream.data.splits import SPLITS
from deepfakestream.data.validation.alignment import similarity
from deepfakestream.data.validation.fingerprints import NUM_VIEWS, NUM_WORDS, Bits, Gray, fingerprints
from deepfakestream.data.validation.near_pairs import candidate_pairs
from deepfakestream.errors import DataError

PAIR_COLUMNS = (
    *("aside_id", "aside_name", "aside_split", "aside_crop"),
    *("kept_id", "kept_name", "kept_split", "kept_crop"),
    *("similarity", "num_crops"),
)
_PER_TASK = 256


def find_near_duplicates(
    crops: pd.DataFrame, manifest: pd.DataFrame, extract_dir: Path, *, min_similarity: float
) -> pd.DataFrame:
    """Return pairs of items of different splits that show the same picture or clip, the most alike first.

    Of each pair the item that is used earlier (train before val before test) is the one to exclude:
    held-out items stay, so that figures measured on them stay comparable.

    Args:
        crops: the crop table; each crop is decoded once.
        manifest: the items, for their names.
        extract_dir: folder of the crop store.
        min_similarity: correlation of the fine structure from which two crops show the same, 0 to 1.

    Returns:
        `PAIR_COLUMNS`, one row a pair of items: `similarity` of its most alike crops, `num_crops` pairs
        of crops.

    Raises:
        DataError: a shard is missing or damaged.
    """
    order = crops["split"].map({name: place for place, name in enumerate(SPLITS)})
    known = crops[order.notna()].reset_index(drop=True)
    codes: npt.NDArray[np.int8] = order.dropna().to_numpy().astype(np.int8)
    if len(np.unique(codes)) < 2:
        return pd.DataFrame(columns=list(PAIR_COLUMNS))
    pairs = candidate_pairs(all_fingerprints(known, extract_dir), codes)
    swap = codes[pairs[:, 0]] > codes[pairs[:, 1]]
    pairs[swap] = pairs[swap][:, ::-1]
    alike = np.fromiter(_similarities(known, pairs, extract_dir), dtype=np.float64, count=len(pairs))
    held = alike >= min_similarity
    return _by_item(known, manifest, pairs[held], alike[held])


def all_fingerprints(crops: pd.DataFrame, extract_dir: Path) -> Bits:
    """Return the fingerprints of all crops, `(num_crops, 1 + NUM_VIEWS, NUM_WORDS)`, on all cores.

    Args:
        crops: columns of `CROP_COLUMNS`.
        extract_dir: folder that extraction wrote.
    """
    prints = np.zeros((len(crops), 1 + NUM_VIEWS, NUM_WORDS), dtype=np.uint64)
    places = list(zip(crops["shard"], crops["row"], strict=True))

    def fill(start: int) -> None:
        reader = CropReader(extract_dir)
        for row in range(start, min(start + _PER_TASK, len(places))):
            prints[row] = fingerprints(_read_gray(reader, *places[row]))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as executor:
        for _ in executor.map(fill, range(0, len(places), _PER_TASK)):
            pass
    return prints


def _similarities(crops: pd.DataFrame, pairs: npt.NDArray[np.int64], extract_dir: Path) -> Iterator[float]:
    reader = CropReader(extract_dir)
    shards, rows = crops["shard"].to_numpy(), crops["row"].to_numpy()

    @lru_cache(maxsize=4096)
    def gray(row: int) -> Gray:
        return _read_gray(reader, shards[row], rows[row])

    for first, second in pairs.tolist():
        yield similarity(gray(first), gray(second))


def _read_gray(reader: CropReader, shard: str, row: int) -> Gray:
    found = cv2.imdecode(np.frombuffer(reader.read_bytes(shard, int(row)), np.uint8), cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise DataError(f"{shard}, row {row}: not a picture; make it again with 'dvc repro --force extract'")
    return np.asarray(found, dtype=np.uint8)


def _by_item(
    crops: pd.DataFrame, manifest: pd.DataFrame, pairs: npt.NDArray[np.int64], alike: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Return one row a pair of items."""
    items = manifest.drop_duplicates("media_id").set_index("media_id")
    names = item_names(items).to_dict()
    columns: dict[str, Any] = {}
    for side, place in (("aside", 0), ("kept", 1)):
        chosen = crops.iloc[pairs[:, place]]
        columns[f"{side}_id"] = chosen["media_id"].to_numpy()
        columns[f"{side}_name"] = chosen["media_id"].map(names).to_numpy()
        columns[f"{side}_split"] = chosen["split"].to_numpy()
        columns[f"{side}_crop"] = chosen["crop_id"].to_numpy()
    table = pd.DataFrame({**columns, "similarity": np.round(alike, 4)})
    table = table.sort_values(["similarity", "aside_crop", "kept_crop"], ascending=[False, True, True])
    count = table.groupby(["aside_id", "kept_id"])["similarity"].transform("size")
    best = table.assign(num_crops=count).drop_duplicates(["aside_id", "kept_id"])
    return best.reset_index(drop=True)[list(PAIR_COLUMNS)]
