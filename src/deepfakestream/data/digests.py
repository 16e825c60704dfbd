"""Digests of tables: the same rows give the same digest."""

from __future__ import annotations

import hashlib
from hashlib import sha256

import pandas as pd

from deepfakestream.data.columns import ITEM_COLUMNS


def tables_digest(manifest: pd.DataFrame, crops: pd.DataFrame) -> str:
    """Return a digest of items, by the columns that their crops carry, and of the crops of those items.

    Args:
        manifest: columns of `MANIFEST_COLUMNS`.
        crops: columns of `CROP_COLUMNS`.
    """
    own = crops.loc[crops["media_id"].isin(manifest["media_id"]), ["crop_id", "crop_sha256"]]
    digest = sha256()
    for table in (manifest[["media_id", *ITEM_COLUMNS]], own):
        present = table.astype(object).where(table.notna(), None)
        for row in present.itertuples(index=False, name=None):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def table_digest(table: pd.DataFrame) -> str:
    """Return a digest of crops, labels and splits, and of the groups and sets that decide on pairs.

    Args:
        table: one row a crop, columns as in `columns.CROP_COLUMNS`.
    """
    rows = table["crop_sha256"]
    for column in ("label", "split", "group_id", "source"):
        rows = rows + "\t" + table[column]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def set_sha256(items: pd.DataFrame) -> str:
    """Return the identity of a test set: the digest of its media ids.

    Args:
        items: one row an item, with the column `media_id`.
    """
    return hashlib.sha256("\n".join(sorted(items["media_id"])).encode()).hexdigest()
