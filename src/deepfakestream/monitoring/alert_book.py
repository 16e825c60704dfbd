"""The book of alerts in one SQLite file: open conditions, alerts, who still has to get them, signs of life.

What is written here survives restarts. Writing needs no channel: the service and `up` only write, and the
process that watches sends.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

from deepfakestream.host.sqlite_file import SqliteFile
from deepfakestream.host.whole_files import replacing
from deepfakestream.monitoring.alerts import Alert

logger = logging.getLogger("deepfakestream.alerts")

REMINDER = timedelta(days=1)
"""From one message about a condition that goes on to the next."""
GIVEN_UP_AFTER = timedelta(days=1)
"""How long a channel that cannot be reached is tried."""
_CLAIM = timedelta(minutes=5)
"""How long a process may take to send what it took; after it another one may."""
_SCHEMA = """
CREATE TABLE conditions (
    condition TEXT PRIMARY KEY,
    began_at TEXT NOT NULL,
    alerted_at TEXT NOT NULL
);
CREATE TABLE alerts (
    sequence INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);
CREATE TABLE deliveries (
    sequence INTEGER NOT NULL,
    channel TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    raised_at TEXT NOT NULL,
    next_at TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waits',
    PRIMARY KEY (sequence, channel)
);
CREATE TABLE signs (
    name TEXT PRIMARY KEY,
    seen_at TEXT NOT NULL,
    detail TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that a channel has not got yet."""

    sequence: int
    channel: str
    """From `channel_id`."""
    attempts: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """That something regular was done, and what came of it."""

    seen_at: datetime
    detail: str


def channel_id(address: str) -> str:
    """Return a name for a channel that keeps its secrets: the begin of its address's digest."""
    return hashlib.sha256(address.encode()).hexdigest()[:12]


class AlertBook:
    """The book of one workspace. Safe for several processes. Every moment given must know its time zone."""

    def __init__(self, path: Path, *, directory: Path, addresses: Sequence[str] = ()) -> None:
        """Open or make the book.

        Args:
            path: the SQLite file.
            directory: folder that gets one JSON file an alert, for people and other programs.
            addresses: of the channels that shall get each alert.

        Raises:
            DataError: the file cannot be used.
        """
        self._file = SqliteFile(path, what="book of alerts", migrations=[_SCHEMA])
        self._directory = directory
        self._channels = [channel_id(address) for address in dict.fromkeys(addresses)]

    def tell(self, alert: Alert) -> None:
        """Record an alert about an event."""
        with self._file.transaction() as connection:
            self._record(connection, alert)
        self._announce(alert)

    def is_due(self, condition: str, now: datetime) -> bool:
        """Return whether `begin` would record an alert now.

        Args:
            condition: its name.
            now: moment, in UTC.
        """
        with self._file.connection() as connection:
            return self._state(connection, condition, now) is not None

    def begin(self, condition: str, alert: Alert) -> bool:
        """Record the alert if the condition is new, or was mentioned last a day ago; return whether it was.

        Args:
            condition: its name, e.g. `drift of version 3`.
            alert: about it; its state is set here.
        """
        now = alert.raised_at
        with self._file.transaction() as connection:
            state = self._state(connection, condition, now)
            if state is None:
                return False
            alert = alert.model_copy(update={"state": state})
            connection.execute(
                "INSERT INTO conditions (condition, began_at, alerted_at) VALUES (?, ?, ?) "
                "ON CONFLICT (condition) DO UPDATE SET alerted_at = excluded.alerted_at",
                (condition, _text(now), _text(now)),
            )
            self._record(connection, alert)
        self._announce(alert)
        return True

    def end(self, condition: str, alert: Alert) -> bool:
        """Record the alert if the condition was open, and close it; return whether it was open.

        Args:
            condition: as in `begin`.
            alert: with state `over`.
        """
        with self._file.transaction() as connection:
            found = connection.execute("DELETE FROM conditions WHERE condition = ?", (condition,)).rowcount
            if not found:
                return False
            self._record(connection, alert)
        self._announce(alert)
        return True

    def open_conditions(self) -> dict[str, datetime]:
        """Return the conditions that go on, with the moment that each began."""
        with self._file.connection() as connection:
            rows = connection.execute("SELECT condition, began_at FROM conditions ORDER BY began_at")
            return {name: datetime.fromisoformat(began) for name, began in rows}

    def newest(self, count: int) -> list[Alert]:
        """Return the newest alerts, the newest first."""
        with self._file.connection() as connection:
            rows = connection.execute("SELECT body FROM alerts ORDER BY sequence DESC LIMIT ?", (count,))
            return [Alert.model_validate_json(body) for (body,) in rows]

    def read(self) -> Iterator[Alert]:
        """Yield every alert, the oldest first."""
        with self._file.connection() as connection:
            for (body,) in connection.execute("SELECT body FROM alerts ORDER BY sequence"):
                yield Alert.model_validate_json(body)

    def num_waiting(self) -> int:
        """Return how many messages still wait for their channel."""
        with self._file.connection() as connection:
            query = "SELECT COUNT(*) FROM deliveries WHERE state = 'waits'"
            return int(connection.execute(query).fetchone()[0])

    def take_waiting(self, channels: Collection[str], now: datetime) -> list[Delivery]:
        """Return what is to be sent to some channels now, oldest first; nobody else gets it for some minutes.

        A channel that has failed gets nothing, not even what is new, before it is tried again.

        Args:
            channels: that the caller can send to, from `channel_id`; what is for others is left to others.
            now: moment, in UTC.
        """
        with self._file.transaction() as connection:
            too_old = _text(now - GIVEN_UP_AFTER)
            connection.execute(
                "UPDATE deliveries SET state = 'given up' WHERE state = 'waits' AND raised_at < ?", (too_old,)
            )
            rows = connection.execute(
                "SELECT sequence, channel, attempts, body FROM deliveries JOIN alerts USING (sequence) "
                "WHERE state = 'waits' AND next_at <= ? AND channel IN (SELECT value FROM json_each(?)) "
                "AND channel NOT IN (SELECT channel FROM deliveries "
                "WHERE state = 'waits' AND attempts > 0 AND next_at > ?) ORDER BY sequence, channel",
                (_text(now), json.dumps(list(channels)), _text(now)),
            ).fetchall()
            connection.executemany(
                "UPDATE deliveries SET next_at = ? WHERE sequence = ? AND channel = ?",
                [(_text(now + _CLAIM), sequence, channel) for sequence, channel, _, _ in rows],
            )
        return [
            Delivery(sequence, channel, attempts, Alert.model_validate_json(body))
            for sequence, channel, attempts, body in rows
        ]

    def settle(self, delivery: Delivery, *, arrived: bool, now: datetime) -> datetime | None:
        """Record how a delivery went; return when it is tried again, or None where it is not.

        Args:
            delivery: from `take_waiting`.
            arrived: whether the channel took it.
            now: moment, in UTC.
        """
        attempts = delivery.attempts + 1
        again_at = now + min(timedelta(minutes=2 ** min(attempts - 1, 10)), timedelta(hours=1))
        is_late = again_at - delivery.alert.raised_at > GIVEN_UP_AFTER
        state = "sent" if arrived else "given up" if is_late else "waits"
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, next_at = ? "
                "WHERE sequence = ? AND channel = ?",
                (state, attempts, _text(again_at), delivery.sequence, delivery.channel),
            )
        return again_at if state == "waits" else None

    def postpone(self, delivery: Delivery, until: datetime) -> None:
        """Let a delivery wait without an attempt, because its channel has just failed.

        Args:
            delivery: from `take_waiting`.
            until: moment, in UTC.
        """
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET next_at = ? WHERE sequence = ? AND channel = ?",
                (_text(until), delivery.sequence, delivery.channel),
            )

    def sign(self, name: str, now: datetime, detail: str = "") -> None:
        """Record that something regular was done.

        Args:
            name: of it, e.g. `drift`.
            now: moment, in UTC.
            detail: what came of it.
        """
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT INTO signs (name, seen_at, detail) VALUES (?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET seen_at = excluded.seen_at, detail = excluded.detail",
                (name, _text(now), detail),
            )

    def last_sign(self, name: str) -> SignOfLife | None:
        """Return when something regular was done last, or None where it never was."""
        with self._file.connection() as connection:
            row = connection.execute("SELECT seen_at, detail FROM signs WHERE name = ?", (name,)).fetchone()
        return None if row is None else SignOfLife(datetime.fromisoformat(row[0]), row[1])

    @staticmethod
    def _state(connection: Connection, condition: str, now: datetime) -> str | None:
        row = connection.execute(
            "SELECT alerted_at FROM conditions WHERE condition = ?", (condition,)
        ).fetchone()
        if row is None:
            return "begins"
        return "continues" if now - datetime.fromisoformat(row[0]) >= REMINDER else None

    def _record(self, connection: Connection, alert: Alert) -> None:
        raised_at = _text(alert.raised_at)
        sequence = connection.execute(
            "INSERT INTO alerts (body) VALUES (?)", (alert.model_dump_json(),)
        ).lastrowid
        connection.executemany(
            "INSERT INTO deliveries (sequence, channel, raised_at, next_at) VALUES (?, ?, ?, ?)",
            [(sequence, channel, raised_at, raised_at) for channel in self._channels],
        )

    def _announce(self, alert: Alert) -> None:
        """Write the alert to the log and to a file of its own."""
        log_alert(alert)
        path = self._directory / f"{alert.name}.json"
        try:
            with replacing(path) as partial:
                partial.write_text(alert.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            logger.error("%s: alert not kept as a file (%s); check the folder", path, error)


def log_alert(alert: Alert) -> None:
    """Write an alert to the log, in one line."""
    level = logging.INFO if alert.severity == "info" else logging.WARNING
    logger.log(level, "alert %s: %s; %s (%s)", alert.title, alert.summary, alert.advice, alert.runbook)


def _text(moment: datetime) -> str:
    """Return the moment in UTC as text of fixed width, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
