"""Progress bars: shown for everything that takes longer than a moment, silent in pipes and logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(
    items: Iterable[Item], *, description: str, total: int | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Yield the items and show rate and remaining time on a terminal once a second has passed."""
    yield from tqdm(
        items, desc=description, total=total, unit=unit, delay=1.0, disable=None, dynamic_ncols=True
    )
