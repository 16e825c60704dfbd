"""What is in a dataset: counts by source, label, method and split, and the spread of what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from deepfakestream.data.manifest import to_rows
from deepfakestream.data.splits import SPLITS

ITEM_MEASURES = {
    "duration_s": "duration, s",
    "size_bytes": "size, kB",
    "short_px": "shorter side, px",
    "fps": "frame rate, 1/s",
    "jpeg_quality": "JPEG quality",
}
CROP_MEASURES = {
    "face_px": "face size, px",
    "sharpness": "sharpness",
    "luma": "luma, 0-255",
    "score": "detector score",
}
QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
_COUNTED = ("kind", "codec", "licence", "tool_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What the newest extraction found; it may be older than the newest items."""

    crops: pd.DataFrame
    """The crop table."""
    empty: frozenset[str]
    """`media_id` of the items that were looked at and gave no crop."""

    def seen_of(self, items: pd.DataFrame) -> pd.DataFrame:
        """Return those rows of the manifest whose items were looked at."""
        return items[items["media_id"].isin(self.crops["media_id"]) | items["media_id"].isin(self.empty)]

    def crops_of(self, items: pd.DataFrame) -> pd.DataFrame:
        """Return those rows of the crop table that show one of these rows of the manifest."""
        return self.crops[self.crops["media_id"].isin(items["media_id"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatistics:
    """The numbers about a dataset that a person asks for first."""

    totals: dict[str, int]
    """`items`, `groups`, `people` and `bytes`; once something was extracted also `crops`,
    `items_without_face` and `items_not_extracted`, of which nobody knows yet whether they show a face."""
    by_method: pd.DataFrame
    """One row each source, label and method: items by split and together, groups, people."""
    by_split: pd.DataFrame
    """One row a split: items, reals, fakes, groups, people."""
    measures: pd.DataFrame
    """One row a measure: how many items or crops have it, and its quantiles."""
    words: dict[str, dict[str, int]]
    """Items by kind, codec, licence and version of the tool that took them in."""
    faces_per_item: pd.DataFrame | None
    """Extracted items by label and number of crops; None before extraction."""

    def as_json(self) -> dict[str, Any]:
        """Return all numbers as JSON values."""
        tables = {"by_method": self.by_method, "by_split": self.by_split, "measures": self.measures}
        if self.faces_per_item is not None:
            tables["faces_per_item"] = self.faces_per_item
        return {
            "totals": self.totals,
            "words": self.words,
            **{name: to_rows(table) for name, table in tables.items()},
        }


def measure_set(manifest: pd.DataFrame, extracted: Extracted | None = None) -> SetStatistics:
    """Count and measure a dataset.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
        extracted: what extraction found, where it has run; items that it has not seen are counted apart.
    """
    items = with_measures(manifest)
    totals = {
        "items": len(items),
        "groups": int(items["group_id"].nunique()),
        "people": int(items["identity"].nunique()),
        "bytes": int(items["size_bytes"].sum()),
    }
    measures = [_spread(items, column, label) for column, label in ITEM_MEASURES.items()]
    faces_per_item = None
    if extracted is not None:
        crops, seen = extracted.crops_of(items), extracted.seen_of(items)
        numbers = crops["media_id"].value_counts().reindex(seen["media_id"], fill_value=0)
        totals |= {
            "crops": len(crops),
            "items_without_face": int((numbers == 0).sum()),
            "items_not_extracted": len(items) - len(seen),
        }
        table = pd.DataFrame({"label": seen["label"].to_numpy(), "crops": numbers.to_numpy()})
        faces_per_item = table.groupby(["crops", "label"]).size().rename("items").reset_index()
        measures += [_spread(crops, column, label) for column, label in CROP_MEASURES.items()]
    return SetStatistics(
        totals=totals,
        by_method=_by_method(items),
        by_split=_by_split(items),
        measures=pd.DataFrame([row for row in measures if row["n"]]),
        words={
            column: {str(word): int(number) for word, number in items[column].value_counts().items()}
            for column in _COUNTED
        },
        faces_per_item=faces_per_item,
    )


def with_measures(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest with `short_px`, the shorter side of the picture in pixels.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
    """
    return manifest.assign(short_px=manifest[["width_px", "height_px"]].min(axis=1))


def _by_method(items: pd.DataFrame) -> pd.DataFrame:
    rows = []
    # Reals first, then fakes, each by name.
    for (label, source, method), part in items.groupby(["label", "source", "manipulation"]):
        row: dict[str, Any] = {"source": source, "label": label, "method": method}
        rows.append(row | {split: int((part["split"] == split).sum()) for split in SPLITS} | _who(part))
    rows.sort(key=lambda row: (row["label"] != "real", row["source"], row["method"]))
    return pd.DataFrame(rows, columns=["source", "label", "method", *SPLITS, "items", "groups", "people"])


def _by_split(items: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for split in SPLITS:
        part = items[items["split"] == split]
        counts = {name: int((part["label"] == name).sum()) for name in ("real", "fake")}
        rows.append({"split": split, **counts, **_who(part)})
    return pd.DataFrame(rows)


def _who(part: pd.DataFrame) -> dict[str, int]:
    return {
        "items": len(part),
        "groups": int(part["group_id"].nunique()),
        "people": int(part["identity"].nunique()),
    }


def _spread(table: pd.DataFrame, column: str, label: str) -> dict[str, Any]:
    values = table[column].dropna().astype(float)
    if column == "size_bytes":
        values = values / 1000
    spread = {name: float(values.quantile(share)) for name, share in QUANTILES.items()} if len(values) else {}
    return {"measure": label, "n": len(values)} | spread
