"""The governor's SQLite file: schema and times as sortable text."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from deepfakestream.host.sqlite_file import SqliteFile

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

_OCCASIONS = """
ALTER TABLE claims ADD COLUMN occasion TEXT NOT NULL DEFAULT 'drift';
ALTER TABLE claims ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE claims ADD COLUMN overridden TEXT NOT NULL DEFAULT '[]';
ALTER TABLE claims ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE refusals ADD COLUMN occasion TEXT NOT NULL DEFAULT 'drift'
"""
"""Why a claim was made, which rules `force` overrode, and the process that holds it."""

_EPISODES = """
CREATE TABLE episodes (
    model_version TEXT PRIMARY KEY,
    began_at TEXT NOT NULL,
    alerted_at TEXT NOT NULL
)
"""
"""Drift that goes on: when it began, and when somebody was alerted last."""


def as_text(moment: datetime) -> str:
    """Return the moment in UTC as text of fixed width, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class GovernorStore(SqliteFile):
    """Opens, makes and locks the file. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            DataError: the file is no governor store of this schema, or its folder cannot be written.
        """
        super().__init__(path, what="governor store", migrations=[_SCHEMA, _OCCASIONS, _EPISODES])
