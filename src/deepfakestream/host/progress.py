"""Progress with rate and remaining time: a bar on a terminal, a line a minute in pipes and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

LOG_EVERY_S = 60.0


def progress_bar(
    items: Iterable[Item], *, description: str, total: int | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Yield the items and show rate and remaining time on standard error.

    On a terminal a bar appears once a second has passed; elsewhere a line is written once a minute.

    Args:
        items: to go through.
        description: what the bar says.
        total: number of items; None: as the items say.
        unit: of one item.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=description, total=total, unit=unit, delay=1.0, dynamic_ncols=True)
        return
    started = noted = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - noted >= LOG_EVERY_S:
            noted = now
            rate = count / (now - started)
            pace = f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"
            state = f"{pace}, {tqdm.format_interval(now - started)} gone"
            if total is not None:
                state += f", {tqdm.format_interval((total - count) / rate)} left"
            number = f"{count}" if total is None else f"{count} of {total}"
            sys.stderr.write(f"{description}: {number}, {state}\n")
            sys.stderr.flush()
