"""The tables of the job store, for SQLite and PostgreSQL alike.

An analysis is what a client sees. A job is a piece of work on it that a worker takes under a lease: `scan`
gives the verdict, `explain` draws the heat maps. Times are seconds since 1970 (UTC).
"""

from __future__ import annotations

import sqlalchemy as sa

from deepfakestream.host.database import Database

_LAYOUT_1 = """
CREATE TABLE analyses (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    media_until DOUBLE PRECISION,
    result_until DOUBLE PRECISION,
    media_sha256 TEXT NOT NULL,
    media_bytes BIGINT NOT NULL,
    has_media INTEGER NOT NULL,
    stage TEXT,
    frames_done INTEGER NOT NULL,
    frames_total INTEGER,
    verdict TEXT,
    p_fake DOUBLE PRECISION,
    model_version TEXT,
    result TEXT,
    timings_ms TEXT,
    error TEXT,
    heatmaps TEXT NOT NULL,
    explanation TEXT,
    webhook_url TEXT,
    logged INTEGER NOT NULL
);
CREATE INDEX analyses_by_owner ON analyses (owner, created_at, id);
CREATE INDEX analyses_by_status ON analyses (status, finished_at);
CREATE INDEX analyses_by_log ON analyses (logged, status);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    analysis_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    task TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    lease TEXT,
    lease_until DOUBLE PRECISION,
    worker TEXT,
    UNIQUE (analysis_id, task)
);
CREATE INDEX jobs_by_turn ON jobs (priority, created_at, id);
CREATE TABLE events (
    analysis_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (analysis_id, seq)
);
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    analysis_id TEXT NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    seen_at DOUBLE PRECISION NOT NULL
);
CREATE TABLE usage (
    owner TEXT NOT NULL,
    day TEXT NOT NULL,
    kind TEXT NOT NULL,
    items BIGINT NOT NULL,
    media_s DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (owner, day, kind)
);
CREATE TABLE feedback (
    prediction_id TEXT NOT NULL,
    source TEXT NOT NULL,
    label TEXT NOT NULL,
    note TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (prediction_id, source)
);
CREATE TABLE webhook_secrets (
    owner TEXT PRIMARY KEY,
    secret TEXT NOT NULL
);
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    analysis_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    url TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    next_at DOUBLE PRECISION NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    last_error TEXT
);
CREATE INDEX deliveries_by_turn ON deliveries (state, next_at)
"""
_LAYOUT_2 = """
ALTER TABLE analyses ADD COLUMN pictures TEXT NOT NULL DEFAULT 'none';
ALTER TABLE jobs ADD COLUMN frame INTEGER;
ALTER TABLE jobs ADD COLUMN track INTEGER
"""
MIGRATIONS = (_LAYOUT_1, _LAYOUT_2)

_METADATA = sa.MetaData()


def _table(name: str, *columns: str) -> sa.Table:
    return sa.Table(name, _METADATA, *(sa.Column(column) for column in columns))


ANALYSES = _table(
    "analyses", "id", "owner", "kind", "status", "priority", "request_id", "created_at", "started_at",
    "finished_at", "media_until", "result_until", "media_sha256", "media_bytes", "has_media", "stage",
    "frames_done", "frames_total", "verdict", "p_fake", "model_version", "result", "timings_ms", "error",
    "heatmaps", "explanation", "webhook_url", "logged", "pictures",
)  # fmt: skip
JOBS = _table(
    "jobs", "id", "analysis_id", "owner", "task", "priority", "created_at", "attempts", "lease",
    "lease_until", "worker", "frame", "track",
)  # fmt: skip
EVENTS = _table("events", "analysis_id", "seq", "created_at", "kind", "data")
IDEMPOTENCY = _table("idempotency", "owner", "idempotency_key", "fingerprint", "analysis_id", "expires_at")
WORKERS = _table("workers", "id", "place", "started_at", "seen_at")
USAGE = _table("usage", "owner", "day", "kind", "items", "media_s")
FEEDBACK = _table("feedback", "prediction_id", "source", "label", "note", "owner", "created_at")
WEBHOOK_SECRETS = _table("webhook_secrets", "owner", "secret")
DELIVERIES = _table(
    "deliveries", "id", "analysis_id", "owner", "url", "payload", "created_at", "next_at", "attempts",
    "state", "last_error",
)  # fmt: skip


def open_job_store(url: str) -> Database:
    """Return the job store's database, its tables made or brought up to date.

    Raises:
        DataError: the address is wrong, or the database cannot be used.
    """
    return Database(url, what="job store", migrations=MIGRATIONS)
