"""Places that are limited: uploads that arrive, by kind and caller, and images in work; how long those take.

Callers for whom there is no place are asked to come back later.

An upload takes little but time, and a slow one much of it; work takes the processor. So they are counted
apart, and slow uploads keep nobody from work. Places are used from the event loop alone.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Callable

FAST_UPLOAD_S = 2.0
"""An upload that takes longer does not keep its place for work until it is complete."""
MAX_WAIT_S = 15.0
"""Longest time that a caller who is turned away is asked to wait: not all heed it, and others would pay."""


class WorkPlaces:
    """Places for images in work."""

    def __init__(self) -> None:
        self.in_work = 0

    def enter(self, capacity: int) -> WorkPlace | None:
        """Take a place, or None where all are taken."""
        if self.in_work >= capacity:
            return None
        return WorkPlace(self, capacity)


class WorkPlace:
    """One place: given back when an upload turns out slow, taken again when it is complete."""

    def __init__(self, places: WorkPlaces, capacity: int) -> None:
        self._places = places
        self._capacity = capacity
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._take()

    def lend_while_uploading(self) -> None:
        """Keep the place for a fast upload only."""
        self._timer = asyncio.get_running_loop().call_later(FAST_UPLOAD_S, self.release)

    def upload_complete(self) -> bool:
        """Hold the place from now on; False where it was given back and all are taken."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._held and self._places.in_work < self._capacity:
            self._take()
        return self._held

    def release(self) -> None:
        """Give the place back, if it is held."""
        if self._timer is not None:
            self._timer.cancel()
        self._places.in_work -= self._held
        self._held = False

    def _take(self) -> None:
        self._places.in_work += 1
        self._held = True


class UploadPlaces:
    """Places for uploads that arrive: so many of each kind, so many of each caller."""

    def __init__(self) -> None:
        self._by_kind: Counter[str] = Counter()
        self._by_client: Counter[str] = Counter()

    def has_room(self, kind: str, capacity: int) -> bool:
        """Whether another upload of a kind may come."""
        return self._by_kind[kind] < capacity

    def num_of(self, client: str) -> int:
        """Return how many uploads of a caller arrive now."""
        return self._by_client[client]

    def enter(self, kind: str, client: str) -> None:
        """Take a place."""
        self._by_kind[kind] += 1
        self._by_client[client] += 1

    def leave(self, kind: str, client: str) -> None:
        """Give a place back."""
        self._by_kind[kind] -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


class TurnedAway:
    """Callers who were asked to come back: each at its turn, as all at once would be turned away again.

    So there are about as many refusals a second as there are answers, however many callers there are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            clock: seconds that only grow.
        """
        self._clock = clock
        self._return_at: deque[float] = deque()

    def next_wait_s(self, *, num_in_work: int, each_s: float) -> int:
        """Return in how many seconds another caller should come back, `MAX_WAIT_S` at most, and remember it.

        Args:
            num_in_work: how many have a place now.
            each_s: time from one place that gets free to the next.
        """
        now = self._clock()
        while self._return_at and self._return_at[0] <= now:
            self._return_at.popleft()
        num_before = num_in_work + len(self._return_at)
        wait_s = max(1, math.ceil(min(MAX_WAIT_S, num_before * each_s)))
        self._return_at.append(now + wait_s)
        return wait_s


class RunningScans:
    """Scans that threads are at, and since when: no answer shows one that hangs. For any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._begun_at: dict[int, float] = {}

    def begin(self) -> int:
        """Note a scan that begins now, and return its number."""
        number = next(self._numbers)
        self._begun_at[number] = time.monotonic()
        return number

    def end(self, number: int) -> None:
        """Note the end of a scan."""
        del self._begun_at[number]

    @property
    def seconds(self) -> list[float]:
        """Seconds since each scan began that has not ended."""
        now = time.monotonic()
        return [now - begun_at for begun_at in self._begun_at.copy().values()]
