"""Keeps a retrain claim alive while this process works on it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from deepfakestream.errors import DataError, GateError
from deepfakestream.monitoring.governor import LEASE, RetrainGovernor

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Lease:
    """A claim that a thread renews; `check` tells whether it is still ours."""

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._renewed_at = clock()
        self._lost: GateError | None = None

    def check(self) -> None:
        """Do nothing while the claim is ours.

        Raises:
            GateError: someone else has claimed since, e.g. after this machine slept through the lease, or
                may have: the claim could not be renewed for as long as it lasts.
        """
        if self._lost:
            raise self._lost
        if self._clock() - self._renewed_at >= LEASE:
            raise GateError(
                "the retrain claim could not be renewed for as long as it lasts, so another retraining may "
                "have started; the log says why; free the disk or the database and retrain again"
            )

    def renew(self, governor: RetrainGovernor, claim_id: str) -> None:
        """Renew once; remember a loss, and log a store that cannot be used now.

        Args:
            governor: that gave the claim.
            claim_id: id of the claim.
        """
        now = self._clock()
        try:
            governor.renew(claim_id, now)
            self._renewed_at = now
        except GateError as error:
            self._lost = error
        except (sqlite3.Error, DataError) as error:
            logger.warning("retrain claim %s not renewed (%s); tried again soon", claim_id, error)


@contextmanager
def kept_alive(
    governor: RetrainGovernor,
    claim_id: str,
    *,
    every_s: float = LEASE.total_seconds() / 5,
    clock: Callable[[], datetime] = _now,
) -> Iterator[Lease]:
    """Renew the claim in the background until the block ends; a killed process stops renewing.

    Args:
        governor: that gave the claim.
        claim_id: id of the claim.
        every_s: seconds between renewals.
        clock: gives the moment, in UTC.
    """
    lease, done = Lease(clock), threading.Event()

    def work() -> None:
        while not done.wait(every_s):
            lease.renew(governor, claim_id)

    thread = threading.Thread(target=work, name="retrain-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
