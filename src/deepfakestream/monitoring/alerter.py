"""Raises alerts; whatever goes wrong on the way is logged and never stops what raises them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepfakestream.errors import DataError
from deepfakestream.monitoring.alert_book import AlertBook, log_alert
from deepfakestream.monitoring.alerts import Alert, State, make_alert

logger = logging.getLogger("deepfakestream.alerts")


class Alerter:
    """Raises alerts about events and conditions of one workspace."""

    def __init__(
        self,
        path: Path,
        *,
        directory: Path,
        addresses: Sequence[str],
        sends: bool,
        links: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Remember where alerts go.

        Args:
            path: of the book of alerts.
            directory: folder that gets one JSON file an alert.
            addresses: of the channels.
            sends: whether this process also sends, or leaves that to the one that watches.
            links: pages that every alert names, by what they show.
            clock: returns the time now, UTC.
        """
        self._path = path
        self._directory = directory
        self._addresses = tuple(addresses)
        self._sends = sends
        self._links = dict(links or {})
        self._clock = clock

    def tell(
        self,
        kind: str,
        summary: str,
        *,
        links: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Raise an alert about an event.

        Args:
            kind: a key of `alerts.KINDS`.
            summary: one sentence.
            links: further pages, by what they show.
            facts: numbers and names; must be JSON.
        """
        alert = self._make(kind, summary, "once", links, facts)
        self._write(alert, lambda book: book.tell(alert))

    def begin(
        self,
        condition: str,
        kind: str,
        summary: str,
        *,
        links: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that a condition holds: one alert when it begins, and one a day while it goes on.

        Args:
            condition: its name.
            kind: a key of `alerts.KINDS`.
            summary: one sentence.
            links: further pages, by what they show.
            facts: numbers and names; must be JSON.
        """
        alert = self._make(kind, summary, "begins", links, facts)
        self._write(alert, lambda book: book.begin(condition, alert))

    def end(self, condition: str, kind: str, summary: str) -> None:
        """Say that a condition does not hold: one alert if it did.

        Args:
            condition: its name.
            kind: as in `begin`.
            summary: one sentence.
        """
        if not self._path.exists():  # nothing was ever raised
            return
        alert = self._make(kind, summary, "over", None, None)
        self._write(alert, lambda book: book.end(condition, alert))

    def is_due(self, condition: str) -> bool:
        """Return whether `begin` would raise an alert now."""
        try:
            return self._book().is_due(condition, self._clock())
        except (DataError, sqlite3.Error):
            return True

    def open_conditions(self) -> dict[str, datetime]:
        """Return the conditions that go on, with the moment each began at; none of a damaged book."""
        try:
            return self._book().open_conditions() if self._path.exists() else {}
        except (DataError, sqlite3.Error):
            return {}

    def sign(self, name: str, detail: str = "") -> None:
        """Record that something regular was done, so that its absence is seen.

        Args:
            name: of it.
            detail: what came of it.
        """
        try:
            self._book().sign(name, self._clock(), detail)
        except (DataError, sqlite3.Error) as error:
            logger.error("%s: not recorded that %s was done (%s)", self._path, name, error)

    def send_waiting(self) -> None:
        """Send what waits in the book."""
        from deepfakestream.monitoring.alert_delivery import send_waiting

        if not self._addresses:
            return
        try:
            send_waiting(self._book(), self._addresses, self._clock())
        except (DataError, sqlite3.Error) as error:
            logger.error(
                "%s: waiting alerts cannot be read (%s); free the disk or the file", self._path, error
            )

    def _book(self) -> AlertBook:
        return AlertBook(self._path, directory=self._directory, addresses=self._addresses)

    def _make(
        self,
        kind: str,
        summary: str,
        state: State,
        links: Mapping[str, str] | None,
        facts: Mapping[str, Any] | None,
    ) -> Alert:
        together = {**(links or {}), **self._links}
        return make_alert(kind, summary, now=self._clock(), state=state, links=together, facts=facts)

    def _write(self, alert: Alert, write: Callable[[AlertBook], object]) -> None:
        try:
            write(self._book())
        except (DataError, sqlite3.Error) as error:
            logger.error(
                "%s: alert not kept (%s), it may come again; free the disk or the file", self._path, error
            )
            self._send_unkept(alert)
            return
        if self._sends:
            self.send_waiting()

    def _send_unkept(self, alert: Alert) -> None:
        """Log and send an alert that could not be written down: better twice than never."""
        log_alert(alert)
        if not self._sends or alert.state == "over":
            return
        from deepfakestream.monitoring.alert_channels import Channel

        for number, address in enumerate(self._addresses, 1):
            channel = Channel(number, address)
            if reason := channel.send(alert):
                logger.error(
                    "alert %s not sent by %s: %s; it is in this log only", alert.kind, channel.name, reason
                )
