"""The split of a source group: decided by a stable hash, whatever else is in the set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

SPLITS = ("train", "val", "test")
DEVELOPMENT = "trainval"
"""What a source says of items that it holds out of its test split, without choosing between the other two."""


@dataclass(frozen=True, slots=True)
class SplitDraw:
    """How the splits of source groups are drawn in one workspace."""

    fractions: Mapping[str, float]
    """Share of the groups that each split gets; adds up to 1."""
    salt: str

    def of(self, group_id: str, *, without_test: bool = False) -> str:
        """Return the split of a source group, `train` or `val` only where the source has a test split."""
        if not without_test:
            return assign_split(group_id, self.fractions, self.salt)
        rest = 1.0 - self.fractions["test"]
        val = self.fractions["val"] / rest if rest > 0 else 0.0
        return assign_split(group_id, {"train": 1.0 - val, "val": val, "test": 0.0}, self.salt)


def assign_split(group_id: str, fractions: Mapping[str, float], salt: str) -> str:
    """Return `train`, `val` or `test` for a source group.

    The same group and salt give the same split on every machine and in every order of ingestion, so a fake
    always lands where its original is.

    Args:
        group_id: source group of the item.
        fractions: share of the groups that each split gets; adds up to 1.
        salt: another salt draws another split.
    """
    digest = hashlib.sha256(f"{salt}:{group_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split in SPLITS[:-1]:
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return SPLITS[-1] if fractions[SPLITS[-1]] > 0 else max(SPLITS, key=lambda name: fractions[name])
