"""The split of a source group: decided by a stable hash, whatever else is in the dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from deepfakestream.errors import DataError

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
        """Return the split of a source group, `train` or `val` only where the source has a test split.

        Args:
            group_id: id of the source group.
            without_test: whether the source keeps its test files elsewhere, so that these are train or val.
        """
        if not without_test:
            return assign_split(group_id, self.fractions, self.salt)
        rest = 1.0 - self.fractions["test"]
        val = self.fractions["val"] / rest if rest > 0 else 0.0
        return assign_split(group_id, {"train": 1.0 - val, "val": val, "test": 0.0}, self.salt)


class GroupSplits:
    """One split a source group: as the dataset holds it, else as its source declares, else drawn."""

    def __init__(self, held: Mapping[str, str], draw: SplitDraw) -> None:
        self._splits = dict(held)
        self._held = frozenset(held)
        self._draw = draw
        self._without_test: set[str] = set()

    def declare(self, group_id: str, word: str | None, *, name: str) -> None:
        """Note what a source says of the split of one item; None and an empty word say nothing.

        Args:
            group_id: id of the source group.
            word: what the source calls the split.
            name: of the item, for the message.

        Raises:
            DataError: there is no such split, or the item's group has another one.
        """
        split = _read_split(word, name)
        if split == DEVELOPMENT:
            self._without_test.add(group_id)
        elif split and self._splits.setdefault(group_id, split) != split:
            raise self._contradiction(group_id, word, name)

    def of(self, group_id: str) -> str:
        """Return the split of a group, once all declarations are known."""
        without_test = group_id in self._without_test
        return self._splits.get(group_id) or self._draw.of(group_id, without_test=without_test)

    def _contradiction(self, group_id: str, word: str | None, name: str) -> DataError:
        other = self._splits[group_id]
        if group_id in self._held:
            conflict, remedy = f"is held in '{other}'", f"declare '{other}', or ingest into a new workspace"
        else:
            conflict, remedy = f"is also declared as '{other}'", "declare one split for all of the group"
        return DataError(f"{name}: split is '{word}', but its source group '{group_id}' {conflict}; {remedy}")


def _read_split(word: str | None, name: str) -> str:
    declared = (word or "").lower()
    split = {"valid": "val", "validation": "val"}.get(declared, declared)
    if split not in ("", DEVELOPMENT, *SPLITS):
        raise DataError(
            f"{name}: split '{word}' is unknown; use train, val, test or trainval (train or val), or leave "
            "the cell empty"
        )
    return split


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
