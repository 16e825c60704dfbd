"""Workspaces that were moved, copied or restored: MLflow keeps absolute addresses of files."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from deepfakestream.errors import ServerError

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_S = 30.0
_ADDRESSES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
    ("experiments", "artifact_location"),
)


def follow_workspace(database: Path, artifacts_dir: Path) -> None:
    """Rewrite the addresses of files in a workspace's own MLflow store, where they lead to another workspace.

    Addresses that lead to no folder `work/mlartifacts` are left alone, as are those behind a server.

    Args:
        database: SQLite file of the store; where it is missing there is nothing to do.
        artifacts_dir: absolute folder of the workspace's run and model files.

    Raises:
        ServerError: the file is no store, or cannot be written.
    """
    if not database.exists():
        return
    here = artifacts_dir.as_uri()
    folder = f"/{artifacts_dir.parent.name}/{artifacts_dir.name}"
    try:
        with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT_S)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
                return
            found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            before = {str(place) for (place,) in found if str(place).startswith("file:")} - {here}
            for place in sorted(place for place in before if place.endswith(folder)):
                with connection:
                    _rewrite(connection, place, here)
                logger.warning(
                    "%s: the workspace was moved or copied; MLflow's files are looked for in %s, not in %s",
                    *(database, here, place),
                )
    except sqlite3.Error as error:
        raise ServerError(
            f"{database}: cannot be used as MLflow's store ({error}); restore a backup, or move it away"
        ) from error


def _rewrite(connection: sqlite3.Connection, before: str, after: str) -> None:
    for table, column in _ADDRESSES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of our own
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
        )
