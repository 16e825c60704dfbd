"""The quarantine ledger: every refused item with its reason, so that nothing disappears silently."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepfakestream import __version__
from deepfakestream.errors import Reason
from deepfakestream.host.file_names import utf8_name
from deepfakestream.host.sqlite_file import LOCK_TIMEOUT_S, SqliteFile
from deepfakestream.host.text_table import text_table

NAME_REASONS = (
    *(Reason.DUPLICATE, Reason.LABEL_CONFLICT, Reason.LABEL_MISSING),
    *(Reason.GROUP_MISSING, Reason.HELD_OUT, Reason.FORGOTTEN),
)
"""What ingestion has against a name; that the same bytes show a face does not settle it."""

GATE_REASONS = (Reason.LOW_QUALITY, Reason.NEAR_DUPLICATE)
"""What validation has against an item of the dataset, all of its crops or some."""

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
_ORIGIN_COLUMNS = """
ALTER TABLE quarantine ADD COLUMN root TEXT;
ALTER TABLE quarantine ADD COLUMN layout TEXT;
ALTER TABLE quarantine ADD COLUMN set_name TEXT;
ALTER TABLE quarantine ADD COLUMN licence TEXT
"""
_MIGRATIONS = (_SCHEMA, _ORIGIN_COLUMNS)
_UPSERT = """
INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, original_name, reason) DO UPDATE SET
    message = excluded.message, path = excluded.path, media_id = excluded.media_id,
    last_seen = excluded.last_seen, tool_version = excluded.tool_version, root = excluded.root,
    layout = excluded.layout, set_name = excluded.set_name, licence = excluded.licence
"""
_LIST = """
SELECT * FROM quarantine
WHERE reason = coalesce(?, reason) AND source = coalesce(?, source)
    AND original_name = coalesce(?, original_name)
ORDER BY source, original_name, reason
"""
_RELEASE = """
DELETE FROM quarantine WHERE source = ? AND original_name = ? AND reason = coalesce(?, reason)
"""
_SUPERSEDE = """
DELETE FROM quarantine
WHERE source = ? AND original_name = ? AND root IS NOT NULL AND reason NOT IN (SELECT value FROM json_each(?))
"""
_FORGET = """
DELETE FROM quarantine WHERE media_id = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The ingestion that refused an item; enough to ask the source for it again."""

    root: str
    """Absolute path that was ingested; `host.file_names.path_of` leads to it."""
    layout: str
    set_name: str
    licence: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", utf8_name(self.root))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One item that was not taken, and why. Names that are not valid UTF-8 are written with escapes."""

    source: str
    """name of the source that it came from."""
    original_name: str
    """Path in the source."""
    reason: Reason
    message: str
    path: str
    """Where its bytes were found."""
    media_id: str | None = None
    """Sha256 of its bytes, where they could be read."""

    def __post_init__(self) -> None:
        for field in ("source", "original_name", "message", "path"):
            object.__setattr__(self, field, utf8_name(getattr(self, field)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A refusal as the ledger keeps it; times are UTC, ISO 8601."""

    refusal: Refusal
    first_seen: str
    last_seen: str
    tool_version: str
    origin: Origin | None
    """None for what extraction found, and for entries of versions that did not record it."""

    def is_about_one_of(self, in_set: Collection[str]) -> bool:
        """Say whether its item is one of these: then a stage wrote it, and may write it again."""
        return self.refusal.media_id in in_set and self.refusal.reason not in NAME_REASONS


class Quarantine:
    """The ledger of one workspace, a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(
        self, refusals: Iterable[Refusal], *, origin: Origin | None = None, seen_at: datetime | None = None
    ) -> None:
        """Record refusals; one that is known keeps its first date and gets a new last one.

        With an origin, what earlier ingestions had against the same names is settled, and dropped.

        Args:
            refusals: to record.
            origin: how the source was read; None: not an ingestion.
            seen_at: moment; None: now.
        """
        now = (seen_at or datetime.now(UTC)).isoformat(timespec="seconds")
        origin_columns = (None,) * 4 if origin is None else astuple(origin)
        rows = [
            (*_identity(r), r.message, r.path, r.media_id, now, now, __version__, *origin_columns)
            for r in refusals
        ]
        if rows:
            with self._open().connection() as connection:
                if origin is not None:
                    reasons: dict[tuple[str, str], list[str]] = {}
                    for source, name, reason in (row[:3] for row in rows):
                        reasons.setdefault((source, name), []).append(reason)
                    by_name = [(*named, json.dumps(those)) for named, those in reasons.items()]
                    connection.executemany(_SUPERSEDE, by_name)
                connection.executemany(_UPSERT, rows)

    def list(
        self, *, reason: Reason | None = None, source: str | None = None, name: str | None = None
    ) -> list[LedgerEntry]:
        """Return the refused items in the order of source and name: all, or those that all of these say.

        Args:
            reason: code of a refusal; None: any.
            source: name of a dataset; None: any.
            name: name in the source; None: any.
        """
        if not self._path.exists():
            return []
        with self._open().connection() as connection:
            return [_entry(row) for row in connection.execute(_LIST, (reason and str(reason), source, name))]

    def release(self, items: Iterable[tuple[str, str]], *, reason: Reason | None = None) -> int:
        """Drop the entries of items that are in the dataset after all; return how many there were.

        Args:
            items: `(source, original_name)` of each.
            reason: only entries of this reason; default all.
        """
        return self._delete(_RELEASE, [(source, name, reason and str(reason)) for source, name in items])

    def forget(self, media_ids: Iterable[str]) -> int:
        """Drop every entry of some content, for good; return how many there were.

        What SQLite keeps of deleted rows is overwritten, in the file and in its write-ahead log. That is done
        where nothing is deleted too: a call that was killed, or `release`, may have left such remains.
        """
        keys = [(media_id,) for media_id in media_ids]
        num_entries = self._delete(_FORGET, keys)
        if keys:
            self._overwrite_deleted()
        return num_entries

    def drop(self, entries: Iterable[LedgerEntry]) -> None:
        """Delete these entries, and overwrite what SQLite keeps of deleted rows."""
        dropped = [_identity(entry.refusal) for entry in entries]
        self._delete(_RELEASE, dropped)
        if dropped:
            self._overwrite_deleted()

    def _overwrite_deleted(self) -> None:
        if self._path.exists():
            with closing(sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _delete(self, statement: str, keys: Sequence[tuple[str | None, ...]]) -> int:
        if not keys or not self._path.exists():
            return 0
        with self._open().connection() as connection:
            return connection.executemany(statement, keys).rowcount

    def _open(self) -> SqliteFile:
        return SqliteFile(self._path, what="quarantine ledger", migrations=_MIGRATIONS)


def _identity(refusal: Refusal) -> tuple[str, str, str]:
    return refusal.source, refusal.original_name, str(refusal.reason)


def _entry(row: tuple[str, ...]) -> LedgerEntry:
    source, name, reason, message, path, media_id, first_seen, last_seen, version, *origin_columns = row
    root, layout, set_name, licence = origin_columns
    refusal = Refusal(
        source=source,
        original_name=name,
        reason=Reason(reason),
        message=message,
        path=path,
        media_id=media_id,
    )
    return LedgerEntry(
        refusal=refusal,
        first_seen=first_seen,
        last_seen=last_seen,
        tool_version=version,
        origin=Origin(root=root, layout=layout, set_name=set_name, licence=licence) if root else None,
    )


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
    counts_text = ", ".join(f"{number} {name}" for name, number in counts)
    return "\n".join([*lines, f"in quarantine: {len(entries)} ({counts_text})"])
