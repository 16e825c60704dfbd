"""The tables that the rules look at: what one row cannot say is computed as a column first.

Leakage and duplicates concern several rows, for which Great Expectations has no expectation; as yes/no
columns they are checked, listed and shown like everything else.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from deepfakestream.data.splits import SPLITS


def items_view(manifest: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with `is_fake`, `has_face`, `method_fits_label` and the crossing columns."""
    view = manifest.reset_index(drop=True)
    is_fake = view["label"] == "fake"
    return view.assign(
        is_fake=is_fake.astype(float),
        has_face=view["media_id"].isin(crops["media_id"]).astype(float),
        method_fits_label=is_fake == (view["manipulation"] != "none"),
        group_crosses_splits=_crosses(view, "group_id"),
        identity_crosses_splits=_crosses(view, "identity"),
    )


def crops_view(crops: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the crop table with `agrees_with_item`, `digest_crosses_splits` and `is_copy`.

    `is_copy` is 1 for each crop whose picture another crop of the table has shown already, else 0.
    """
    view = crops.reset_index(drop=True)
    columns = ["label", "split", "group_id"]
    by_id = manifest.drop_duplicates("media_id").set_index("media_id")[columns]
    item = by_id.reindex(view["media_id"]).reset_index(drop=True)
    return view.drop(columns=["box_xyxy", "landmarks_xy"]).assign(
        agrees_with_item=(view[columns] == item).all(axis=1),
        digest_crosses_splits=_crosses(view, "crop_sha256"),
        is_copy=view["crop_sha256"].duplicated().astype(float),
    )


def splits_view(crops: pd.DataFrame, quarantined: Collection[str]) -> pd.DataFrame:
    """Return one row for each of train, val and test, with its usable items, groups, reals and fakes.

    Args:
        crops: the crop table.
        quarantined: ids of crops that were set aside; an item counts while one of its crops is left.
    """
    usable = crops[~crops["crop_id"].isin(set(quarantined))].drop_duplicates("media_id")
    parts = [usable[usable["split"] == name] for name in SPLITS]
    return pd.DataFrame(
        {
            "split": SPLITS,
            "num_items": [len(part) for part in parts],
            "num_groups": [part["group_id"].nunique() for part in parts],
            "num_real": [int((part["label"] == "real").sum()) for part in parts],
            "num_fake": [int((part["label"] == "fake").sum()) for part in parts],
        }
    )


def _crosses(view: pd.DataFrame, column: str) -> pd.Series[bool]:
    """Say for each row whether its value also occurs in another split; a missing value does not."""
    num_splits = view.groupby(column, dropna=True)["split"].nunique()
    crossing = num_splits.index[num_splits > 1]
    return view[column].isin(crossing)
