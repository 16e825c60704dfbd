"""The split of a source group: decided by a stable hash, whatever else is in the set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

SPLITS = ("train", "val", "test")


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
