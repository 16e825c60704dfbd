"""How often somebody may ask: token buckets, one a client, kept in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_CLIENTS = 10_000
"""Buckets kept; the one used longest ago goes first, which only ever gives a client more."""
PERIOD_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RateState:
    """What is left of a rate after a request."""

    allowed: bool
    limit: int
    """Requests a minute."""
    remaining: int
    """Requests that are allowed at once now."""
    seconds_to_next: float
    """Seconds until one more is."""


class RateLimiter:
    """Buckets that hold a minute's requests and fill evenly. Used from one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str, per_minute: int) -> RateState:
        """Take one request out of a client's bucket, if there is one.

        Args:
            client: name of the API key.
            per_minute: requests a minute that it may send.
        """
        now = self._clock()
        level, filled_at = self._buckets.pop(client, (float(per_minute), now))
        level = min(float(per_minute), level + (now - filled_at) * per_minute / PERIOD_S)
        allowed = level >= 1.0
        level -= allowed
        self._buckets[client] = (level, now)
        while len(self._buckets) > MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        wait_s = (1.0 - level % 1.0) * PERIOD_S / per_minute
        return RateState(allowed=allowed, limit=per_minute, remaining=int(level), seconds_to_next=wait_s)
