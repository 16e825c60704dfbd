"""Every prediction that was served: scores, model and features in one SQLite file; no pixels, no file names.

The file is in WAL mode, so that several service processes append while the drift check reads. It is the
current window of the drift check and the first link of a verdict's lineage (prediction id → model version).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.host.sqlite_file import SqliteFile
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.scanning.result import ScanResult

FEATURES: dict[str, str] = dict.fromkeys(FEATURE_NAMES, "numerical")
"""Columns that the drift check compares, with their kind (numerical or categorical)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    sequence INTEGER PRIMARY KEY,
    prediction_id TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    channel TEXT NOT NULL,
    media_sha256 TEXT,
    kind TEXT,
    verdict TEXT NOT NULL,
    p_fake REAL,
    reasons TEXT NOT NULL,
    operating_point TEXT NOT NULL,
    threshold REAL NOT NULL,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    features TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS predictions_by_version ON predictions (model_version, sequence);
"""
_IDS_A_QUERY = 500
_WITH_CLIENT = "ALTER TABLE predictions ADD COLUMN client TEXT"
_COLUMNS = (
    "prediction_id", "created_at", "channel", "media_sha256", "kind", "verdict", "p_fake", "reasons",
    "operating_point", "threshold", "model_name", "model_version", "weights_sha256", "features",
    "client",
)  # fmt: skip


class PredictionLog:
    """The log in one SQLite file, made where it is missing. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or make the log.

        Raises:
            DataError: the file is no prediction log of this schema, or its folder cannot be written.
        """
        self._file = SqliteFile(path, what="prediction log", migrations=[_SCHEMA, _WITH_CLIENT])

    def append(
        self, result: ScanResult, *, prediction_id: str, channel: str, client: str | None = None
    ) -> None:
        """Add one prediction, or replace that of the same id; it is on disk when this returns.

        Args:
            result: what was answered. Its file name is not stored.
            prediction_id: the id that the caller was given; unique.
            channel: how it came in, e.g. `http`.
            client: who sent it: the name of an API key.
        """
        marks = ", ".join("?" for _ in _COLUMNS)
        updates = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
        statement = (
            f"INSERT INTO predictions ({', '.join(_COLUMNS)}) VALUES ({marks}) "  # noqa: S608 - constants
            f"ON CONFLICT (prediction_id) DO UPDATE SET {updates}"
        )
        with self._file.connection() as connection:
            connection.execute(statement, _row(result, prediction_id, channel, client))

    def newest(
        self, n: int, *, model_version: str | None = None, max_client_share: float = 1.0
    ) -> pd.DataFrame:
        """Return the newest `n` predictions, oldest first, optionally of one model version only.

        Args:
            n: how many at most.
            model_version: of which version; None takes all.
            max_client_share: share of `n` that one client may have, where there are several: nobody alone
                decides what the predictions of today look like.

        Returns:
            One row a prediction: the columns of the log (without `features`), then one float column for each
            of `FEATURES`, NaN where the file had no such number; `created_at` as UTC timestamps.
        """
        where = "" if model_version is None else "WHERE model_version = ?"
        version = () if model_version is None else (model_version,)
        count = f"SELECT COUNT(DISTINCT COALESCE(client, '')) FROM predictions {where}"  # noqa: S608 - constants
        query = (
            f"SELECT {', '.join(_COLUMNS)} FROM (SELECT *, ROW_NUMBER() OVER "  # noqa: S608 - constants
            f"(PARTITION BY client ORDER BY sequence DESC) AS place FROM predictions {where}) "
            "WHERE place <= ? ORDER BY sequence DESC LIMIT ?"
        )
        with self._file.connection() as connection:
            several = max_client_share < 1.0 and connection.execute(count, version).fetchone()[0] > 1
            most = max(1, int(n * max_client_share)) if several else n
            rows = connection.execute(query, (*version, most, n)).fetchall()
        return _frame(rows[::-1])

    def find(self, prediction_id: str) -> dict[str, Any] | None:
        """Return one prediction by column, without its features, or None where the log has none of this id.

        Args:
            prediction_id: the id that the caller was given.
        """
        columns = [name for name in _COLUMNS if name != "features"]
        query = f"SELECT {', '.join(columns)} FROM predictions WHERE prediction_id = ?"  # noqa: S608 - constants
        with self._file.connection() as connection:
            row = connection.execute(query, (prediction_id,)).fetchone()
        if row is None:
            return None
        found: dict[str, Any] = dict(zip(columns, row, strict=True))
        return found | {"reasons": json.loads(found["reasons"])}

    def verdicts(self, prediction_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return model version and verdict of each of these predictions that the log has.

        Args:
            prediction_ids: the ids that callers were given.
        """
        found: dict[str, tuple[str, str]] = {}
        with self._file.connection() as connection:
            for start in range(0, len(prediction_ids), _IDS_A_QUERY):
                some = prediction_ids[start : start + _IDS_A_QUERY]
                marks = ", ".join("?" for _ in some)
                columns = "prediction_id, model_version, verdict"
                query = f"SELECT {columns} FROM predictions WHERE prediction_id IN ({marks})"  # noqa: S608 - marks
                rows = connection.execute(query, some)
                found |= {prediction_id: (version, verdict) for prediction_id, version, verdict in rows}
        return found

    def count(self) -> int:
        """Return how many predictions the log holds."""
        with self._file.connection() as connection:
            return int(connection.execute("SELECT COUNT(*) FROM predictions").fetchone()[0])


def _row(result: ScanResult, prediction_id: str, channel: str, client: str | None) -> tuple[object, ...]:
    media = result.media
    return (
        prediction_id,
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        channel,
        media.sha256 if media else None,
        media.kind if media else None,
        result.verdict,
        result.p_fake,
        json.dumps([str(reason) for reason in result.reasons]),
        result.operating_point,
        result.threshold.threshold,
        result.model.name,
        result.model.version,
        result.model.weights_sha256,
        json.dumps(result.features),
        client,
    )


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    features = [json.loads(text) for text in table.pop("features")]
    for name in FEATURES:
        table[name] = pd.Series([each.get(name) for each in features], dtype="float64", index=table.index)
    table["p_fake"] = table["p_fake"].astype("float64")
    table["created_at"] = pd.to_datetime(table["created_at"], utc=True, format="ISO8601")
    return table
