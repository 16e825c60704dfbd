"""A database of known layout behind SQLAlchemy: SQLite in a file, or PostgreSQL by its address.

The number of the layout is kept in the table `schema_versions`, a row for each user of the database. SQLite
files are in WAL mode and readable by their owner only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from deepfakestream.errors import DataError, ServerError
from deepfakestream.sqlite_url import sqlite_path

LOCK_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
_MIGRATION_LOCK = 4_116_119
"""Key of the PostgreSQL advisory lock that one migrating process holds."""
Migration = str | Callable[[sa.Connection], None]
"""SQL for both databases, statements separated by semicolons; or a function for what one SQL cannot say."""


class Database:
    """Tables that are the result of migrations. Safe for several threads, processes and machines."""

    def __init__(self, url: str, *, what: str, migrations: Sequence[Migration]) -> None:
        """Open the database, make an SQLite file where it is missing, and run the migrations that it lacks.

        Args:
            url: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
            what: what the tables are, for messages, e.g. `job store`; also the name of their layout.
            migrations: the n-th leads to layout n. All that are missing run in one transaction.

        Raises:
            DataError: the address is wrong, or the database is of a newer layout or cannot be used.
        """
        self._what = what
        self._url = _parsed(url, what)
        try:
            self._engine = self._open()
            try:
                self._migrate(migrations)
            except BaseException:
                self._engine.dispose()
                raise
        except (OSError, SQLAlchemyError) as error:
            raise DataError(
                f"{self}: cannot be used as {what} ({_reason(error)}); correct the address or start it"
            ) from error
        self._writer = self._engine.execution_options(writes=True)
        self._durable_writer = self._engine.execution_options(writes=True, durable=True)

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a file on this machine."""
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection whose statements see one state of the database.

        Raises:
            ServerError: the database does not answer.
        """
        with self._reached(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction: committed at the end, rolled back on an exception.

        SQLite gives the transaction the only write lock at its start. What is committed survives the end of
        any process.

        Args:
            durable: whether it must survive a power cut, too. On SQLite that costs a wait for the disk;
                PostgreSQL always sees to it.

        Raises:
            ServerError: the database does not answer.
        """
        engine = self._durable_writer if durable else self._writer
        with self._reached(), engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        self._engine.dispose()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise ServerError(f"{self}: the {self._what} does not answer ({_reason(error)})") from error

    def _open(self) -> sa.Engine:
        if not self.is_sqlite:
            return sa.create_engine(
                self._url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}
            )
        assert self._url.database
        path = sqlite_path(self._url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only where it is missing: closing a file ends all locks that this process has on it, SQLite's too.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        engine = sa.create_engine(self._url, connect_args={"timeout": LOCK_TIMEOUT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self._engine.execution_options(writes=True).begin() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS schema_versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            query = sa.select(_VERSIONS.c.version).where(_VERSIONS.c.name == self._what)
            found = int(connection.execute(query).scalar() or 0)
            if found > len(migrations):
                raise DataError(
                    f"{self}: {self._what} of layout {found}, known is {len(migrations)}; "
                    "install the newer release, or name another database"
                )
            for migration in migrations[found:]:
                if isinstance(migration, str):
                    for statement in filter(str.strip, migration.split(";")):
                        connection.exec_driver_sql(statement)
                else:
                    migration(connection)
            if found < len(migrations):
                connection.execute(sa.delete(_VERSIONS).where(_VERSIONS.c.name == self._what))
                connection.execute(sa.insert(_VERSIONS).values(name=self._what, version=len(migrations)))


_VERSIONS = sa.table("schema_versions", sa.column("name"), sa.column("version"))


def _parsed(url: str, what: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise DataError(
            f"{what}: '{url.partition('@')[0]}' is no database address; write sqlite:///PATH or postgresql://..."
        ) from error
    if backend == "sqlite" and parsed.database:
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise DataError(f"{what}: a database of kind '{backend}' is not supported; use SQLite or PostgreSQL")


def _reason(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return " ".join(str(cause).split())


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `_begin_sqlite` begins; the driver would begin late and without lock
    # SQLite does not wait for this lock: while another process switches or writes, it fails at once.
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except connection.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    writes = options.get("writes", False)
    if writes:
        connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if options.get('durable') else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
