"""What a model trained on a dataset cannot learn or show, as far as its tables tell."""

from __future__ import annotations

import pandas as pd

from deepfakestream.data.splits import SPLITS

FEW_GROUPS = 30
"""Source groups below which a measurement on a split says little about other people."""

NO_LICENCE = "not stated"


def known_limits(manifest: pd.DataFrame) -> list[str]:
    """Return the limits of a dataset, a sentence each."""
    limits = [_few_groups(manifest), _unseen_methods(manifest), _untested_methods(manifest)]
    limits += [_one_label_sources(manifest), _unnamed(manifest), _unlicensed(manifest), _constant(manifest)]
    return [limit for limit in limits if limit]


def _few_groups(manifest: pd.DataFrame) -> str:
    numbers = {name: manifest.loc[manifest["split"] == name, "group_id"].nunique() for name in SPLITS}
    few = [f"{name} {number}" for name, number in numbers.items() if number < FEW_GROUPS]
    if not few:
        return ""
    return f"Source groups are few ({', '.join(few)}): figures measured there have wide intervals."


def _unseen_methods(manifest: pd.DataFrame) -> str:
    methods = _methods(manifest)
    unseen = sorted((methods["val"] | methods["test"]) - methods["train"])
    return f"Methods that training never sees: {', '.join(unseen)}." if unseen else ""


def _untested_methods(manifest: pd.DataFrame) -> str:
    methods = _methods(manifest)
    untested = sorted(methods["train"] - methods["test"])
    return f"Methods that no test measures: {', '.join(untested)}." if untested else ""


def _one_label_sources(manifest: pd.DataFrame) -> str:
    labels = manifest.groupby("source")["label"].agg(set)
    single = [f"{source} ({', '.join(found)})" for source, found in labels.items() if len(found) == 1]
    if not single:
        return ""
    return (
        f"Sources with one label only: {', '.join(single)}; a model may learn to tell sources apart instead."
    )


def _unnamed(manifest: pd.DataFrame) -> str:
    unnamed = int(manifest["identity"].isna().sum())
    if not unnamed:
        return ""
    return (
        f"No person is named for {unnamed} of {len(manifest)} items: the same person may be in two splits, "
        "in different groups."
    )


def _unlicensed(manifest: pd.DataFrame) -> str:
    number = int((manifest["licence"] == NO_LICENCE).sum())
    return f"{number} items come without a licence note." if number else ""


def _constant(manifest: pd.DataFrame) -> str:
    codecs = sorted(manifest["codec"].dropna().unique())
    return f"All items have the codec {codecs[0]}." if len(codecs) == 1 else ""


def _methods(manifest: pd.DataFrame) -> dict[str, set[str]]:
    fakes = manifest[manifest["label"] == "fake"]
    return {name: set(fakes.loc[fakes["split"] == name, "manipulation"]) for name in SPLITS}
