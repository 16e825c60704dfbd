"""The quarantine ledger: every refused item with its reason, so that nothing disappears silently."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepfakestream import __version__
from deepfakestream.data.text_table import text_table
from deepfakestream.errors import Reason

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    source TEXT NOT NULL,
    original_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    path TEXT NOT NULL,
    media_id TEXT,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    tool_version TEXT NOT NULL,
    PRIMARY KEY (source, original_name, reason)
)
"""
_UPSERT = """
INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, original_name, reason) DO UPDATE SET
    message = excluded.message, path = excluded.path, media_id = excluded.media_id,
    last_seen = excluded.last_seen, tool_version = excluded.tool_version
"""
_LIST = """
SELECT * FROM quarantine WHERE reason = coalesce(?, reason) ORDER BY source, original_name, reason
"""
_RELEASE = """
DELETE FROM quarantine WHERE source = ? AND original_name = ? AND reason = coalesce(?, reason)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One item that was not taken, and why."""

    source: str
    """Name of the set that it came from."""
    original_name: str
    """Path in the source."""
    reason: Reason
    message: str
    path: str
    """Where its bytes were found."""
    media_id: str | None = None
    """Sha256 of its bytes, where they could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A refusal as the ledger keeps it; times are UTC, ISO 8601."""

    refusal: Refusal
    first_seen: str
    last_seen: str
    tool_version: str


class Quarantine:
    """The ledger of one workspace, a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, refusals: Iterable[Refusal], *, seen_at: datetime | None = None) -> None:
        """Record refusals; one that is known keeps its first date and gets a new last one."""
        now = (seen_at or datetime.now(UTC)).isoformat(timespec="seconds")
        rows = [
            (r.source, r.original_name, str(r.reason), r.message, r.path, r.media_id, now, now, __version__)
            for r in refusals
        ]
        if rows:
            with closing(self._connect()) as connection, connection:
                connection.executemany(_UPSERT, rows)

    def list(self, *, reason: Reason | None = None) -> list[LedgerEntry]:
        """Return the refused items in the order of source and name, all or those of one reason."""
        if not self._path.exists():
            return []
        with closing(self._connect()) as connection:
            return [_entry(row) for row in connection.execute(_LIST, (reason and str(reason),))]

    def release(self, items: Iterable[tuple[str, str]], *, reason: Reason | None = None) -> int:
        """Drop the entries of items that are in the set after all; return how many there were.

        Args:
            items: `(source, original_name)` of each.
            reason: only entries of this reason; default all.
        """
        keys = [(source, name, reason and str(reason)) for source, name in items]
        if not keys or not self._path.exists():
            return 0
        with closing(self._connect()) as connection, connection:
            return connection.executemany(_RELEASE, keys).rowcount

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=30.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(_SCHEMA)
        return connection


def _entry(row: tuple[str, ...]) -> LedgerEntry:
    source, name, reason, message, path, media_id, first_seen, last_seen, version = row
    refusal = Refusal(
        source=source,
        original_name=name,
        reason=Reason(reason),
        message=message,
        path=path,
        media_id=media_id,
    )
    return LedgerEntry(refusal=refusal, first_seen=first_seen, last_seen=last_seen, tool_version=version)


def describe_entries(entries: Sequence[LedgerEntry]) -> str:
    """Return entries as a table for people, with a closing line that counts them by reason."""
    if not entries:
        return "the quarantine is empty"
    rows = [
        (
            entry.refusal.reason,
            entry.refusal.source,
            entry.refusal.original_name,
            entry.first_seen[:16],
            entry.last_seen[:16],
            entry.refusal.message,
        )
        for entry in entries
    ]
    lines = text_table(("reason", "source", "name", "first seen", "last seen", "message"), rows)
    counts = Counter(str(entry.refusal.reason) for entry in entries).most_common()
    return "\n".join([*lines, f"{len(entries)} entries: " + ", ".join(f"{n} {name}" for name, n in counts)])
