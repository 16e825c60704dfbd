"""Whether metadata alone give the label away: the commonest way to fool oneself in this field.

A detector that is shown reals from one camera and fakes from one encoder learns the camera and the encoder.
A small decision tree tries to tell the label from metadata alone, on groups that it was not fitted on. An AUC
of 0.5 is no shortcut; 1 is a dataset whose label is its file format.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepfakestream.arrays import FloatArray

METADATA = (
    *("source", "kind", "codec", "width_px", "height_px", "aspect", "size_bytes", "bytes_per_pixel"),
    *("duration_s", "fps", "jpeg_quality"),
)
"""Columns that say how a file was made and stored, not what it shows."""

CONTENT = ("luma", "sharpness", "face_px")
"""Columns measured in the pictures. Forging changes them rightly (a blended face is smoother), so they are
reported and may warn, but never stop."""

ALL_METADATA = "all metadata"
ALL_CONTENT = "all picture statistics"
NUM_FOLDS = 5
MAX_ITEMS = 50_000
_NUM_RESAMPLES = 200
_CONFIDENCE = 0.95
_MIN_GROUPS = 10

Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """How well one column, or all, tell the label of groups that were not seen; the interval is 95 %."""

    column: str
    auc: float
    low: float
    high: float
    is_metadata: bool

    def describe(self) -> str:
        """Return column, AUC and interval."""
        return f"{self.column}: AUC {self.auc:.2f} ({self.low:.2f} to {self.high:.2f})"


def find_shortcuts(manifest: pd.DataFrame, crops: pd.DataFrame) -> list[Shortcut]:
    """Return how well the label is predicted by all metadata, by each column, and by the picture statistics.

    Columns without two values are left out. With fewer than ten groups of a label nothing is measured.
    Of more than about `MAX_ITEMS` items, whole groups are left out, the same ones every time.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
        crops: one row a crop, for `CONTENT`, as the mean of an item.
    """
    items = manifest.reset_index(drop=True)
    if len(items) > MAX_ITEMS:
        order = pd.util.hash_pandas_object(items["group_id"], index=False)
        items = items[order < np.quantile(order, MAX_ITEMS / len(items))].reset_index(drop=True)
    is_fake = (items["label"] == "fake").to_numpy()
    groups = pd.factorize(items["group_id"])[0].astype(np.int64)
    if min(len(np.unique(groups[is_fake])), len(np.unique(groups[~is_fake]))) < _MIN_GROUPS:
        return []
    features = _features(items, crops)
    wanted: list[tuple[str, list[str]]] = []
    for name, columns in ((ALL_METADATA, METADATA), (ALL_CONTENT, CONTENT)):
        varied = [column for column in columns if features[column].nunique(dropna=False) > 1]
        wanted += [(name, varied)] if varied else []
        wanted += [(column, [column]) for column in varied]
    return [_measure(name, features[columns], is_fake, groups) for name, columns in wanted]


def _features(items: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """Return `METADATA` and `CONTENT` as numbers; words become codes, missing values stay missing."""
    pixels = items["width_px"] * items["height_px"]
    frames = (items["duration_s"] * items["fps"]).fillna(1.0).clip(lower=1.0)
    derived = items.assign(
        aspect=items["width_px"] / items["height_px"],
        bytes_per_pixel=items["size_bytes"] / (pixels * frames),
    )
    for column in ("source", "kind", "codec"):
        derived[column] = pd.factorize(derived[column], use_na_sentinel=False, sort=False)[0]
    measured = crops.groupby("media_id")[list(CONTENT)].mean().reindex(items["media_id"])
    found = derived[list(METADATA)].join(measured.reset_index(drop=True))
    numbers: pd.DataFrame = found.astype(np.float64).replace([np.inf, -np.inf], np.nan)
    return numbers


def _measure(name: str, features: pd.DataFrame, is_fake: npt.NDArray[np.bool_], groups: Groups) -> Shortcut:
    scores = _scores_of_unseen_groups(features.to_numpy(), is_fake, groups)
    level = np.unique(scores, return_inverse=True)[1]
    auc = _weighted_auc(level, is_fake, np.ones(len(level)))
    low, high = _interval(level, is_fake, groups)
    in_metadata = name == ALL_METADATA or name in METADATA
    return Shortcut(column=name, auc=auc, low=low, high=high, is_metadata=in_metadata)


def _scores_of_unseen_groups(
    features: FloatArray, is_fake: npt.NDArray[np.bool_], groups: Groups
) -> FloatArray:
    from sklearn.tree import DecisionTreeClassifier

    scores = np.zeros(len(features))
    folds = _folds(is_fake, groups)
    for fold in range(NUM_FOLDS):
        fitted, unseen = folds != fold, folds == fold
        model = DecisionTreeClassifier(max_leaf_nodes=32, min_samples_leaf=5, random_state=0)
        model.fit(features[fitted], is_fake[fitted])
        scores[unseen] = model.predict_proba(features[unseen])[:, 1]
    return scores


def _folds(is_fake: npt.NDArray[np.bool_], groups: Groups) -> Groups:
    """Return a fold for each item: whole groups, each fold with about the same share of fakes."""
    share = np.bincount(groups, weights=is_fake) / np.bincount(groups)
    tie = np.random.default_rng(0).random(len(share))
    fold_of_group = np.empty(len(share), dtype=np.int64)
    fold_of_group[np.lexsort((tie, share))] = np.arange(len(share)) % NUM_FOLDS
    return fold_of_group[groups]


def _interval(level: Groups, is_fake: npt.NDArray[np.bool_], groups: Groups) -> tuple[float, float]:
    """Return the percentile interval over resampled groups, which is wide where there are few groups."""
    generator = np.random.default_rng(0)
    num_groups = int(groups.max()) + 1
    found = []
    for _ in range(_NUM_RESAMPLES):
        drawn = np.bincount(generator.integers(0, num_groups, num_groups), minlength=num_groups)
        weights = drawn[groups].astype(np.float64)
        if 0 < weights[is_fake].sum() < weights.sum():
            found.append(_weighted_auc(level, is_fake, weights))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def _weighted_auc(level: Groups, is_fake: npt.NDArray[np.bool_], weights: FloatArray) -> float:
    """Return the chance that a fake scores above a real, equal scores counting half.

    Args:
        level: rank of each item's score among the distinct scores.
        is_fake: the label.
        weights: how often each item counts.
    """
    fakes = np.bincount(level, weights=weights * is_fake)
    reals = np.bincount(level, weights=weights * ~is_fake)
    below = np.cumsum(reals) - reals
    return float((fakes * (below + reals / 2)).sum() / (fakes.sum() * reals.sum()))
