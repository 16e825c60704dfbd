"""Rows of the job store as values, and the writes that several of its parts share.

Locks are taken in one order, jobs before analyses, so that no two transactions wait for each other.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from deepfakestream.jobs.tables import ANALYSES, DELIVERIES, EVENTS, JOBS
from deepfakestream.jobs.types import Analysis, FaceKey, Failure, Task


def to_analysis(row: sa.Row[Any]) -> Analysis:
    """Return a row of `analyses` as a value."""
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    del values["webhook_url"], values["logged"]
    result, error = values.pop("result"), values.pop("error")
    values |= {
        "has_media": bool(values["has_media"]),
        "result": None if result is None else json.loads(result),
        "failure": None if error is None else Failure(**json.loads(error)),
        "timings_ms": json.loads(values["timings_ms"] or "{}"),
        "explanation": tuple(json.loads(values["explanation"] or "[]")),
    }
    return Analysis(**values)


def failure_text(failure: Failure) -> str:
    """Return a failure as it is stored."""
    return json.dumps(asdict(failure))


def locked(connection: sa.Connection, analysis_id: str) -> sa.Row[Any] | None:
    """Return the row of an analysis, which nobody else changes until the transaction ends.

    Args:
        connection: in a transaction.
        analysis_id: id of the analysis.
    """
    return connection.execute(
        sa.select(ANALYSES).where(ANALYSES.c.id == analysis_id).with_for_update()
    ).first()


def add_event(
    connection: sa.Connection,
    analysis_id: str,
    kind: str,
    data: dict[str, Any],
    *,
    now: float,
    seq: int | None = None,
) -> None:
    """Append an event, or write the one of a given number. The transaction must hold the analysis.

    Args:
        connection: in a transaction that holds the analysis.
        analysis_id: id of the analysis.
        kind: `status`, `progress` or `heatmaps`.
        data: content of the event; must be JSON.
        now: seconds since 1970, UTC.
        seq: number of the event; None: the next.
    """
    if seq is None:
        last = sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.analysis_id == analysis_id)
        seq = (connection.execute(last).scalar() or 0) + 1
    connection.execute(
        sa.insert(EVENTS).values(
            analysis_id=analysis_id, seq=seq, created_at=now, kind=kind, data=json.dumps(data)
        )
    )


def add_job(
    connection: sa.Connection,
    analysis_id: str,
    task: Task,
    *,
    owner: str,
    priority: int,
    now: float,
    face: FaceKey | None = None,
) -> None:
    """Put work on an analysis, or on one face of it, into the queue.

    Args:
        connection: in a transaction.
        analysis_id: id of the analysis.
        task: `scan` or `explain`.
        owner: whose analysis it is.
        priority: smaller numbers go first.
        now: seconds since 1970, UTC.
        face: the face to explain; None: the most suspicious ones.
    """
    connection.execute(
        sa.insert(JOBS).values(
            id=uuid.uuid4().hex,
            analysis_id=analysis_id,
            owner=owner,
            task=task,
            priority=priority,
            created_at=now,
            attempts=0,
            frame=face and face[0],
            track=face and face[1],
        )
    )


def add_end(connection: sa.Connection, row: sa.Row[Any], status: str, *, now: float, **facts: Any) -> None:
    """Note that an analysis has ended: an event for those who watch it, a webhook for who asked for one.

    Args:
        connection: in a transaction that holds the analysis.
        row: of the analysis.
        status: that it ends with.
        now: seconds since 1970, UTC.
        facts: further members of event and webhook.
    """
    data = {"status": status, **facts}
    add_event(connection, row.id, "status", data, now=now)
    if row.webhook_url is None:
        return
    payload = {
        "type": f"analysis.{status}",
        "timestamp": now,
        "data": {"id": row.id, "kind": row.kind, **data},
    }
    connection.execute(
        sa.insert(DELIVERIES).values(
            id=f"msg_{uuid.uuid4().hex}",
            analysis_id=row.id,
            owner=row.owner,
            url=row.webhook_url,
            payload=json.dumps(payload),
            created_at=now,
            next_at=now,
            attempts=0,
            state="pending",
        )
    )
