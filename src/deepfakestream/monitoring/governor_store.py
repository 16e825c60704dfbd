"""The governor's SQLite file: schema, transactions, times as sortable text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from deepfakestream.errors import DataError

SCHEMA_VERSION = 1
_LOCK_TIMEOUT_S = 30.0
_SCHEMA = """
CREATE TABLE windows (
    sequence INTEGER PRIMARY KEY,
    model_version TEXT NOT NULL,
    window_id TEXT NOT NULL,
    status TEXT NOT NULL,
    share REAL NOT NULL,
    recorded_at TEXT NOT NULL,
    UNIQUE (model_version, window_id)
);
CREATE TABLE claims (
    claim_id TEXT PRIMARY KEY,
    model_version TEXT NOT NULL,
    forced INTEGER NOT NULL,
    claimed_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    last_window INTEGER NOT NULL,
    finished_at TEXT,
    outcome TEXT
);
CREATE TABLE refusals (
    sequence INTEGER PRIMARY KEY,
    refused_at TEXT NOT NULL,
    model_version TEXT NOT NULL,
    reasons TEXT NOT NULL
);
"""


def as_text(moment: datetime) -> str:
    """Return the moment in UTC as text of fixed width, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class GovernorStore:
    """Opens, makes and locks the file. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            DataError: the file is no governor store of this schema, or its folder cannot be written.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{path}: cannot be used as governor store ({error}); move it away or fix access"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that holds the only write lock; commit at the end, roll back on an exception."""
        with closing(
            sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _prepare(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction() as connection:
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif found != SCHEMA_VERSION:
                raise DataError(
                    f"{self._path}: governor store of schema {found}, known is {SCHEMA_VERSION}; move it away"
                )
