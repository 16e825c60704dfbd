"""What a model trained on a dataset cannot learn or show, as far as its tables show."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from deepfakestream.data.splits import SPLITS

FEW_GROUPS = 30
"""Source groups below which a measurement on a split says little about other people."""

NO_LICENCE = "not stated"


def known_limits(manifest: pd.DataFrame) -> list[str]:
    """Return the limits of a dataset, a sentence each.

    Args:
        manifest: one row an item, with `MANIFEST_COLUMNS`.
    """
    return [*_about_splits(manifest), *_about_sources(manifest)]


def _about_splits(manifest: pd.DataFrame) -> Iterator[str]:
    numbers = {name: manifest.loc[manifest["split"] == name, "group_id"].nunique() for name in SPLITS}
    few = [f"{name} {number}" for name, number in numbers.items() if number < FEW_GROUPS]
    if few:
        yield f"Source groups are few ({', '.join(few)}): figures measured there have wide intervals."
    fakes = manifest[manifest["label"] == "fake"]
    methods = {name: set(fakes.loc[fakes["split"] == name, "manipulation"]) for name in SPLITS}
    if unseen := sorted((methods["val"] | methods["test"]) - methods["train"]):
        yield f"Methods that training never sees: {', '.join(unseen)}."
    if untested := sorted(methods["train"] - methods["test"]):
        yield f"Methods that no test measures: {', '.join(untested)}."


def _about_sources(manifest: pd.DataFrame) -> Iterator[str]:
    labels = manifest.groupby("source")["label"].agg(set)
    if single := [f"{source} ({', '.join(found)})" for source, found in labels.items() if len(found) == 1]:
        yield (
            f"Sources with one label only: {', '.join(single)}; a model may learn to tell sources apart "
            "instead."
        )
    if unnamed := int(manifest["identity"].isna().sum()):
        yield (
            f"No person is named for {unnamed} of {len(manifest)} items: the same person may be in two "
            "splits, in different groups."
        )
    if unlicensed := int((manifest["licence"] == NO_LICENCE).sum()):
        yield f"{unlicensed} items come without a licence note."
    codecs = manifest["codec"].dropna().unique()
    if len(codecs) == 1:
        yield f"All items have the codec {codecs[0]}."
