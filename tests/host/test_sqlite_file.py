from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from deepfakestream.host.sqlite_file import SqliteFile

FIRST = "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)"
SECOND = "ALTER TABLE notes ADD COLUMN author TEXT; INSERT INTO notes VALUES ('migrated', 'second')"


def open_notes(path: Path, *migrations: str) -> SqliteFile:
    return SqliteFile(path, what="notebook", migrations=migrations)


def rows(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM notes").fetchall()


def test_a_missing_file_is_made_with_its_folder_and_migrations_run_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "notes.db"
    open_notes(path, FIRST, SECOND)
    open_notes(path, FIRST, SECOND)
    assert rows(path) == [("migrated", "second")]


def test_a_file_of_an_older_layout_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with open_notes(path, FIRST).connection() as connection:
        connection.execute("INSERT INTO notes VALUES ('old')")
    open_notes(path, FIRST, SECOND)
    assert rows(path) == [("old", None), ("migrated", "second")]


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    open_notes(path, FIRST)
    with pytest.raises(DataError, match=r"notes\.db: cannot be used as notebook"):
        open_notes(path, FIRST, SECOND + "; THIS IS NO SQL")
    assert rows(path) == []
    open_notes(path, FIRST, SECOND)
    assert rows(path) == [("migrated", "second")]


@pytest.mark.parametrize(
    ("content", "message"), [(b"no database at all" * 99, "cannot be used"), (None, "schema 9")]
)
def test_other_files_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    if content is None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 9")
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_notes(path, FIRST)


def test_an_exception_rolls_back(tmp_path: Path) -> None:
    notes = open_notes(tmp_path / "notes.db", FIRST)
    for opened in (notes.connection, notes.transaction):
        with pytest.raises(KeyError):
            _write_half(opened)
    assert rows(tmp_path / "notes.db") == []


def _write_half(opened: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
    with opened() as connection:
        connection.execute("INSERT INTO notes VALUES ('half')")
        raise KeyError


def _open_together(path: Path, barrier: Barrier) -> None:
    barrier.wait(60)
    open_notes(path, FIRST, SECOND)


def test_of_processes_that_open_a_new_file_at_once_one_migrates_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    path = tmp_path / "notes.db"
    processes = [context.Process(target=_open_together, args=(path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert rows(path) == [("migrated", "second")]
