"""The table of the prediction log, for SQLite and PostgreSQL alike, and how an older file becomes one.

A row is one answer. Its time is seconds since 1970 (UTC). `client` is '' where nobody had a key. `features`
holds float16 numbers, little-endian, or nothing.
"""

from __future__ import annotations

import sqlalchemy as sa

from deepfakestream.errors import DataError
from deepfakestream.host.database import Database
from deepfakestream.scanning.features import FEATURE_NAMES

TEXTS = (
    "prediction_id", "channel", "client", "media_sha256", "kind", "verdict", "reasons", "operating_point",
    "model_name", "model_version", "weights_sha256",
)  # fmt: skip
"""Columns with text; `reasons` is a JSON array."""
NUMBERS = ("p_fake", "threshold", *FEATURE_NAMES)
COLUMNS = ("created_at", *TEXTS, *NUMBERS, "features")

_TABLE = """
CREATE TABLE predictions (
    prediction_id TEXT PRIMARY KEY,
    created_at DOUBLE PRECISION NOT NULL,
    channel TEXT NOT NULL,
    client TEXT NOT NULL,
    media_sha256 TEXT,
    kind TEXT,
    verdict TEXT NOT NULL,
    p_fake DOUBLE PRECISION,
    reasons TEXT NOT NULL,
    operating_point TEXT NOT NULL,
    threshold DOUBLE PRECISION NOT NULL,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    face_px DOUBLE PRECISION,
    sharpness DOUBLE PRECISION,
    luma DOUBLE PRECISION,
    detector_score DOUBLE PRECISION,
    num_faces DOUBLE PRECISION,
    num_tracks DOUBLE PRECISION,
    width_px DOUBLE PRECISION,
    height_px DOUBLE PRECISION,
    duration_s DOUBLE PRECISION,
    fps DOUBLE PRECISION,
    coded_bits_per_px DOUBLE PRECISION,
    features BYTEA
)"""
# One index answers which rows a window has, without a look at the table; the other serves ranges of time.
_INDEXES = (
    "CREATE INDEX predictions_by_window ON predictions (model_version, created_at, client)",
    "CREATE INDEX predictions_by_time ON predictions (created_at)",
)
_LAST_OLD_LAYOUT = 2
"""Files of earlier releases number their layout by SQLite's `user_version`."""

LOG = sa.Table("predictions", sa.MetaData(), *(sa.Column(name) for name in COLUMNS))


def open_prediction_table(url: str) -> Database:
    """Return the prediction log's database, its table made or brought up to date.

    Args:
        url: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.

    Raises:
        DataError: the address is wrong, or the database cannot be used or is of a newer release.
    """
    return Database(url, what="prediction log", migrations=(_make_table,))


def _make_table(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        for statement in (_TABLE, *_INDEXES):
            connection.exec_driver_sql(statement)
        return
    old_layout = int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)
    if old_layout > _LAST_OLD_LAYOUT:
        raise DataError(f"prediction log of schema {old_layout}, known is {_LAST_OLD_LAYOUT}; move it away")
    if old_layout:
        connection.exec_driver_sql("ALTER TABLE predictions RENAME TO old_predictions")
    connection.exec_driver_sql(_TABLE)
    if old_layout:
        connection.exec_driver_sql(_copy_of_old_rows(has_client=old_layout == _LAST_OLD_LAYOUT))
        connection.exec_driver_sql("DROP TABLE old_predictions")
    for index in _INDEXES:
        connection.exec_driver_sql(index)
    # Earlier releases refuse the file then, with words, before they write to it.
    connection.exec_driver_sql(f"PRAGMA user_version = {_LAST_OLD_LAYOUT + 1}")


def _copy_of_old_rows(*, has_client: bool) -> str:
    """Return SQL that copies a table whose times are ISO texts and whose numbers are one JSON object."""
    values = {name: name for name in (*TEXTS, "p_fake", "threshold")}
    values["created_at"] = (
        "CAST(strftime('%s', created_at) AS REAL) + CAST(substr(strftime('%f', created_at), 3) AS REAL)"
    )
    values["client"] = "COALESCE(client, '')" if has_client else "''"
    values |= {
        name: f"CASE WHEN json_valid(features) THEN json_extract(features, '$.{name}') END"
        for name in FEATURE_NAMES
    }
    return (
        f"INSERT INTO predictions ({', '.join(values)}) SELECT {', '.join(values.values())} "  # noqa: S608 - constants
        "FROM old_predictions ORDER BY sequence"
    )
