"""The tables that the rules look at: what one row cannot say is computed as a column first.

Leakage and duplicates concern several rows, for which Great Expectations has no expectation; as yes/no
columns they are checked, listed and shown like everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from deepfakestream.data.manifest import item_names
from deepfakestream.data.splits import SPLITS
from deepfakestream.data.validation.params import ValidateParams
from deepfakestream.data.validation.shortcuts import Shortcut


def items_view(manifest: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with `is_fake`, `has_face`, `method_fits_label` and the crossing columns.

    `shown_as`, the source and the name in it, is what messages call an item.

    Args:
        manifest: columns of `MANIFEST_COLUMNS`.
        crops: columns of `CROP_COLUMNS`.
    """
    view = manifest.reset_index(drop=True)
    is_fake = view["label"] == "fake"
    return view.assign(
        is_fake=is_fake.astype(float),
        has_face=view["media_id"].isin(crops["media_id"]).astype(float),
        method_fits_label=is_fake == (view["manipulation"] != "none"),
        group_crosses_splits=_crosses(view, "group_id"),
        identity_crosses_splits=_crosses(view, "identity"),
        shown_as=item_names(view),
    )


def crops_view(crops: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the crop table with `agrees_with_item`, `digest_crosses_splits` and `is_copy`.

    `is_copy` is 1 for each crop whose picture another item has shown already, else 0; a clip that stands
    still repeats itself rightly.

    Args:
        crops: columns of `CROP_COLUMNS`.
        manifest: columns of `MANIFEST_COLUMNS`.
    """
    view = crops.reset_index(drop=True)
    columns = ["label", "split", "group_id"]
    named = manifest.assign(shown_as=item_names(manifest)).drop_duplicates("media_id").set_index("media_id")
    item = named[[*columns, "shown_as"]].reindex(view["media_id"]).reset_index(drop=True)
    first_shown_by = view.groupby("crop_sha256")["media_id"].transform("first")
    return view.drop(columns=["box_xyxy", "landmarks_xy"]).assign(
        agrees_with_item=(view[columns] == item[columns]).all(axis=1),
        digest_crosses_splits=_crosses(view, "crop_sha256"),
        is_copy=(view["media_id"] != first_shown_by).astype(float),
        shown_as=item["shown_as"].astype(str) + " at " + view["time_s"].astype(str) + " s",
    )


def distributions_view(crops: pd.DataFrame, params: ValidateParams) -> pd.DataFrame:
    """Return one row for each bounded quantile of the crops: its value, its bounds and `in_range`.

    Args:
        crops: columns of `CROP_COLUMNS`.
        params: section `validate`.
    """
    rows = []
    for column in ("face_px", "luma", "sharpness"):
        bounds = getattr(params, f"{column}_quantiles")
        for percent in (5, 50, 95):
            least, greatest = getattr(bounds, f"p{percent:02d}")
            value = float(crops[column].quantile(percent / 100))
            rows.append(
                {
                    "quantile": f"{column} p{percent:02d}",
                    "value": value,
                    "least": least,
                    "greatest": greatest,
                    "in_range": least <= value <= greatest,
                    "shown_as": f"{column} p{percent:02d} is {value:.4g}, not {least:g} to {greatest:g}",
                }
            )
    return pd.DataFrame(rows)


def methods_view(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return one row a manipulation method of the fakes, with its `num_items`."""
    count = manifest.loc[manifest["label"] == "fake", "manipulation"].value_counts().sort_index()
    return pd.DataFrame({"method": count.index.to_numpy(), "num_items": count.to_numpy()})


def near_duplicates_view(duplicates: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each item that shows what an item of a later split shows; `shown_as` names both.

    Args:
        duplicates: what `near_duplicates.find_near_duplicates` returned.
    """
    best = duplicates.drop_duplicates("aside_id").reset_index(drop=True)
    names = [
        f"{row['aside_name']} in {row['aside_split']} ~ {row['kept_name']} in {row['kept_split']} "
        f"({row['similarity']:.2f})"
        for row in best.to_dict("records")
    ]
    return pd.DataFrame(
        {
            "media_id": best["aside_id"],
            "picture_in_other_split": True,
            "shown_as": names,
        }
    )


def shortcuts_view(shortcuts: Sequence[Shortcut]) -> pd.DataFrame:
    """Return one row a measured column, with the lower end of its AUC's interval.

    `metadata_low` is what may stop: 0.5 for statistics of the pictures.
    """
    return pd.DataFrame(
        {
            "column": [shortcut.column for shortcut in shortcuts],
            "low": [shortcut.low for shortcut in shortcuts],
            "metadata_low": [shortcut.low if shortcut.is_metadata else 0.5 for shortcut in shortcuts],
            "shown_as": [shortcut.describe() for shortcut in shortcuts],
        }
    )


def splits_view(
    crops: pd.DataFrame, quarantined: Collection[str], duplicates: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row for each of train, val and test, with its usable items, groups, reals and fakes.

    `near_duplicate_share` is the share of the split's items with a face that another split shows as well.

    Args:
        crops: the crop table.
        quarantined: ids of crops that were excluded; an item counts while one of its crops is left.
        duplicates: what `near_duplicates.find_near_duplicates` returned; None for none.
    """
    items = crops.drop_duplicates("media_id")
    usable = crops[~crops["crop_id"].isin(set(quarantined))].drop_duplicates("media_id")
    parts = [usable[usable["split"] == name] for name in SPLITS]
    alike: set[str] = set()
    if duplicates is not None:
        alike = {*duplicates["aside_id"], *duplicates["kept_id"]}
    is_alike = items["media_id"].isin(alike).groupby(items["split"]).mean()
    return pd.DataFrame(
        {
            "split": SPLITS,
            "num_items": [len(part) for part in parts],
            "num_groups": [part["group_id"].nunique() for part in parts],
            "num_real": [int((part["label"] == "real").sum()) for part in parts],
            "num_fake": [int((part["label"] == "fake").sum()) for part in parts],
            "near_duplicate_share": [float(is_alike.get(name, 0.0)) for name in SPLITS],
        }
    )


def _crosses(view: pd.DataFrame, column: str) -> pd.Series[bool]:
    """Say for each row whether its value also occurs in another split; a missing value does not."""
    num_splits = view.groupby(column, dropna=True)["split"].nunique()
    crossing = num_splits.index[num_splits > 1]
    return view[column].isin(crossing)
