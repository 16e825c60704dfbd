"""Seconds spent in one's own work, not in the caller's between two results."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from the start; a generator pauses it around each `yield`."""

    def __init__(self) -> None:
        self._total_s = 0.0
        self._since: float | None = time.monotonic()

    def pause(self) -> None:
        """Stop counting."""
        self._total_s = self.elapsed_s
        self._since = None

    def resume(self) -> None:
        """Count on."""
        self._since = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds counted so far."""
        return self._total_s + (time.monotonic() - self._since if self._since is not None else 0.0)
