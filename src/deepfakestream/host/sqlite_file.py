"""One SQLite file of known layout: made, brought up to date, checked and opened in one way.

The number of the layout is SQLite's own `user_version`. Files are in WAL mode, so that some processes read
while one writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from deepfakestream.errors import DataError

LOCK_TIMEOUT_S = 30.0


class SqliteFile:
    """A file whose layout is the result of migrations. Safe for several threads and processes."""

    def __init__(self, path: Path, *, what: str, migrations: Sequence[str]) -> None:
        """Open or make the file, and run the migrations that it lacks.

        Args:
            path: the file; its folder is made where it is missing.
            what: what the file is, for messages, e.g. `prediction log`.
            migrations: SQL statements, separated by semicolons; the n-th leads to layout n.

        Raises:
            DataError: the file is no SQLite file, is of a newer layout, or cannot be written.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare(what, migrations)
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"{path}: cannot be used as {what} ({error}); move it away or fix access"
            ) from error

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection; commit at the end, roll back on an exception."""
        with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as connection, connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that holds the only write lock; commit at the end, roll back on an exception."""
        opened = sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        with closing(opened) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _prepare(self, what: str, migrations: Sequence[str]) -> None:
        with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as connection:
            if self._layout(connection, what, len(migrations)) == len(migrations):
                return
            _switch_to_wal(connection)
        with self.transaction() as connection:
            # Another process may have been faster.
            found = self._layout(connection, what, len(migrations))
            for migration in migrations[found:]:
                for statement in migration.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(migrations)}")

    def _layout(self, connection: sqlite3.Connection, what: str, known: int) -> int:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > known:
            raise DataError(f"{self._path}: {what} of schema {found}, known is {known}; move it away")
        return found


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for this lock: while another process switches or writes, it fails at once.
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
