"""Keeps a retrain claim alive while this process works on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from deepfakestream.errors import GateError
from deepfakestream.monitoring.governor import LEASE, RetrainGovernor


class Lease:
    """A claim that a thread renews; `check` tells whether it is still ours."""

    def __init__(self) -> None:
        self._lost: GateError | None = None

    def check(self) -> None:
        """Do nothing while the claim is ours.

        Raises:
            GateError: someone else has claimed since, e.g. after this machine slept through the lease.
        """
        if self._lost:
            raise self._lost

    def renew(self, governor: RetrainGovernor, claim_id: str, now: datetime) -> None:
        """Renew once and remember a loss."""
        try:
            governor.renew(claim_id, now)
        except GateError as error:
            self._lost = error


@contextmanager
def kept_alive(
    governor: RetrainGovernor,
    claim_id: str,
    *,
    every_s: float = LEASE.total_seconds() / 5,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Lease]:
    """Renew the claim in the background until the block ends; a killed process stops renewing."""
    lease, done = Lease(), threading.Event()

    def work() -> None:
        while not done.wait(every_s):
            lease.renew(governor, claim_id, clock())

    thread = threading.Thread(target=work, name="retrain-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
