"""Analyses as clients deal with them: submit, look at, list, cancel, remove."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.database import Database
from deepfakestream.jobs.records import add_end, add_event, add_job, locked, to_analysis
from deepfakestream.jobs.tables import ANALYSES, EVENTS, IDEMPOTENCY, JOBS
from deepfakestream.jobs.types import (
    FINAL,
    HEATMAP_PRIORITY,
    Analysis,
    Event,
    FaceKey,
    HeatMaps,
    NewAnalysis,
    Retention,
    Verdict,
)
from deepfakestream.jobs.usage import add_usage

IDEMPOTENCY_H = 24.0
"""How long a client's Idempotency-Key stands for its first request."""
Clock = Callable[[], float]


class KeyReusedError(DeepfakeStreamError):
    """An idempotency key came again with another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A client's promise that requests of one key are one request."""

    key: str
    fingerprint: str
    """Digest of all that decides the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which analyses a list holds; None takes all."""

    owner: str | None = None
    status: str | None = None
    kind: str | None = None
    verdict: str | None = None
    created_from: float | None = None
    created_before: float | None = None


def new_id() -> str:
    """Return an id that nobody can guess."""
    return f"an_{uuid.uuid4().hex}"


class Analyses:
    """The analyses of a job store."""

    def __init__(self, database: Database, *, retention: Retention, clock: Clock = time.time) -> None:
        self._database = database
        self._retention = retention
        self._clock = clock

    def submit(self, new: NewAnalysis, idempotency: Idempotency | None = None) -> str:
        """Put an upload into the queue and return its id: that of the first request of the key, where one is.

        Args:
            new: what was uploaded, and its options.
            idempotency: key and fingerprint of the request, if it has one.

        Raises:
            KeyReusedError: the key stands for another request.
            ServerError: the store does not answer.
        """

        def write(connection: sa.Connection, now: float) -> None:
            self._insert(connection, new, now)
            add_job(connection, new.id, "scan", owner=new.owner, priority=new.priority, now=now)
            add_event(connection, new.id, "status", {"status": "queued"}, now=now, seq=1)

        return self._once(new, idempotency, write, durable=True)

    def record(self, new: NewAnalysis, verdict: Verdict, idempotency: Idempotency | None = None) -> str:
        """Keep an answer that was given at once, and return its id, as `submit` does.

        It is in the prediction log already.

        Args:
            new: what was uploaded, and its options.
            verdict: what was answered.
            idempotency: key and fingerprint of the request, if it has one.

        Raises:
            KeyReusedError: the key stands for another request.
            ServerError: the store does not answer.
        """

        def write(connection: sa.Connection, now: float) -> None:
            ended = {"started_at": now, "logged": 1, **verdict_columns(verdict), **self.end_columns(now)}
            self._insert(connection, new, now, **ended)
            event = {"status": "succeeded", "verdict": verdict.verdict}
            add_event(connection, new.id, "status", event, now=now, seq=1)
            add_usage(connection, new.owner, verdict, now=now)
            if new.heatmaps and verdict.p_fake is not None:
                add_job(connection, new.id, "explain", owner=new.owner, priority=HEATMAP_PRIORITY, now=now)

        return self._once(new, idempotency, write, durable=False)

    def known(self, owner: str, idempotency: Idempotency) -> str | None:
        """Return the id that an idempotency key stands for, or None.

        Args:
            owner: name of the API key, or of the local caller.
            idempotency: key and fingerprint of the request.

        Raises:
            KeyReusedError: the key stands for another request.
            ServerError: the store does not answer.
        """
        with self._database.reading() as connection:
            return _known(connection, owner, idempotency, self._clock())

    def get(self, analysis_id: str, *, owner: str | None = None) -> Analysis | None:
        """Return an analysis, or None where the owner has none of this id.

        Args:
            analysis_id: id that the client was given.
            owner: whose analyses are seen; None: all.
        """
        query = sa.select(ANALYSES).where(ANALYSES.c.id == analysis_id)
        if owner is not None:
            query = query.where(ANALYSES.c.owner == owner)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else to_analysis(row)

    def find(
        self, filters: Filters, *, limit: int, before: tuple[float, str] | None = None
    ) -> list[Analysis]:
        """Return analyses, the newest first.

        Args:
            filters: which.
            limit: how many at most.
            before: `(created_at, id)` of the last one that the caller has.
        """
        query = sa.select(ANALYSES).order_by(ANALYSES.c.created_at.desc(), ANALYSES.c.id.desc()).limit(limit)
        for name in ("owner", "status", "kind", "verdict"):
            if (value := getattr(filters, name)) is not None:
                query = query.where(ANALYSES.c[name] == value)
        if filters.created_from is not None:
            query = query.where(ANALYSES.c.created_at >= filters.created_from)
        if filters.created_before is not None:
            query = query.where(ANALYSES.c.created_at < filters.created_before)
        if before is not None:
            created_at, analysis_id = before
            query = query.where(
                sa.or_(
                    ANALYSES.c.created_at < created_at,
                    sa.and_(ANALYSES.c.created_at == created_at, ANALYSES.c.id < analysis_id),
                )
            )
        with self._database.reading() as connection:
            return [to_analysis(row) for row in connection.execute(query)]

    def cancel(self, analysis_id: str) -> Analysis | None:
        """End an analysis that has not ended, and return it as it is then; None where it is gone.

        A worker that is at it loses its lease and stops at its next heartbeat.
        """
        now = self._clock()
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(JOBS).where(JOBS.c.analysis_id == analysis_id, JOBS.c.task == "scan")
            )
            row = locked(connection, analysis_id)
            if row is None:
                return None
            if row.status not in FINAL:
                connection.execute(
                    sa.update(ANALYSES)
                    .where(ANALYSES.c.id == analysis_id)
                    .values(status="canceled", stage=None, heatmaps="none", **self.end_columns(now))
                )
                add_end(connection, row, "canceled", now=now)
        return self.get(analysis_id)

    def remove(self, analysis_id: str) -> None:
        """Remove an analysis and all the store knows of it, but its share of the usage and its feedback."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(JOBS).where(JOBS.c.analysis_id == analysis_id))
            forget(connection, analysis_id)

    def ask_for_heatmaps(self, analysis_id: str, face: FaceKey | None = None) -> HeatMaps | None:
        """Put the drawing of heat maps into the queue, and return their state; None where it is gone.

        The most suspicious faces are drawn once, and so is each face that is named. While some are being
        drawn, nothing is added.

        Args:
            analysis_id: of a finished analysis.
            face: the face to draw; None: the most suspicious ones.
        """
        now = self._clock()
        with self._database.writing() as connection:
            row = locked(connection, analysis_id)
            if row is None:
                return None
            drawn = face is not None and face in drawn_faces(json.loads(row.explanation or "[]"))
            can_draw = row.heatmaps == "none" or (row.heatmaps != "queued" and face is not None and not drawn)
            if not can_draw or row.status != "succeeded":
                state: HeatMaps = row.heatmaps
                return state
            connection.execute(
                sa.update(ANALYSES).where(ANALYSES.c.id == analysis_id).values(heatmaps="queued")
            )
            add_job(
                connection,
                analysis_id,
                "explain",
                owner=row.owner,
                priority=HEATMAP_PRIORITY,
                now=now,
                face=face,
            )
            return "queued"

    def events(self, analysis_id: str, *, after: int = 0) -> list[Event]:
        """Return the events of an analysis with a number above `after`, in order.

        Args:
            analysis_id: id of the analysis.
            after: number of the last event that is known already.
        """
        query = (
            sa.select(EVENTS)
            .where(EVENTS.c.analysis_id == analysis_id, EVENTS.c.seq > after)
            .order_by(EVENTS.c.seq)
        )
        with self._database.reading() as connection:
            return [
                Event(seq=row.seq, kind=row.kind, data=json.loads(row.data), created_at=row.created_at)
                for row in connection.execute(query)
            ]

    def end_columns(self, now: float) -> dict[str, float]:
        """Return the columns that say when an analysis ended and how long what it left is kept."""
        return {
            "finished_at": now,
            "media_until": now + 3600 * self._retention.media_h,
            "result_until": now + 3600 * self._retention.result_h,
        }

    def _once(
        self,
        new: NewAnalysis,
        idempotency: Idempotency | None,
        write: Callable[[sa.Connection, float], None],
        *,
        durable: bool,
    ) -> str:
        now = self._clock()
        try:
            with self._database.writing(durable=durable) as connection:
                if idempotency is not None:
                    if earlier := _known(connection, new.owner, idempotency, now):
                        return earlier
                    connection.execute(
                        sa.delete(IDEMPOTENCY).where(
                            IDEMPOTENCY.c.owner == new.owner,
                            IDEMPOTENCY.c.idempotency_key == idempotency.key,
                            IDEMPOTENCY.c.expires_at <= now,  # not one that came in since we looked
                        )
                    )
                    connection.execute(
                        sa.insert(IDEMPOTENCY).values(
                            owner=new.owner,
                            idempotency_key=idempotency.key,
                            fingerprint=idempotency.fingerprint,
                            analysis_id=new.id,
                            expires_at=now + 3600 * IDEMPOTENCY_H,
                        )
                    )
                write(connection, now)
        except sa.exc.IntegrityError:
            # Two requests of one key at the same time, in two processes: the other was faster.
            if idempotency is None or (earlier := self.known(new.owner, idempotency)) is None:
                raise
            return earlier
        return new.id

    def _insert(self, connection: sa.Connection, new: NewAnalysis, now: float, **more: Any) -> None:
        columns: dict[str, Any] = {
            "id": new.id,
            "owner": new.owner,
            "kind": new.kind,
            "status": "queued",
            "priority": new.priority,
            "request_id": new.request_id,
            "created_at": now,
            "media_sha256": new.media_sha256,
            "media_bytes": new.media_bytes,
            "has_media": 1,
            "frames_done": 0,
            "heatmaps": "queued" if new.heatmaps else "none",
            "pictures": "wanted" if new.pictures else "none",
            "webhook_url": new.webhook_url,
            "logged": 0,
        }
        connection.execute(sa.insert(ANALYSES).values(**columns | more))


def verdict_columns(verdict: Verdict) -> dict[str, Any]:
    """Return the columns of an analysis that has a verdict."""
    scored = verdict.p_fake is not None
    return {
        "status": "succeeded",
        "stage": None,
        "verdict": verdict.verdict,
        "p_fake": verdict.p_fake,
        "model_version": verdict.model_version,
        "result": json.dumps(verdict.result),
        "timings_ms": json.dumps(verdict.timings_ms),
        "pictures": "kept" if verdict.pictures else "none",
        # Where there is no face there is nothing to draw.
        **({} if scored else {"heatmaps": "failed"}),
    }


def drawn_faces(explanation: Sequence[dict[str, Any]]) -> set[FaceKey]:
    """Return the faces that have heat maps."""
    return {(face["frame_index"], face["track_id"]) for face in explanation}


def forget(connection: sa.Connection, analysis_id: str) -> None:
    """Remove the rows of an analysis whose jobs are gone. Its media and pictures lie in the media store.

    Args:
        connection: in a transaction.
        analysis_id: id of the analysis.
    """
    for table in (EVENTS, IDEMPOTENCY):
        connection.execute(sa.delete(table).where(table.c.analysis_id == analysis_id))
    connection.execute(sa.delete(ANALYSES).where(ANALYSES.c.id == analysis_id))


def _known(connection: sa.Connection, owner: str, idempotency: Idempotency, now: float) -> str | None:
    row = connection.execute(
        sa.select(IDEMPOTENCY).where(
            IDEMPOTENCY.c.owner == owner,
            IDEMPOTENCY.c.idempotency_key == idempotency.key,
            IDEMPOTENCY.c.expires_at > now,
        )
    ).first()
    if row is None:
        return None
    if row.fingerprint != idempotency.fingerprint:
        raise KeyReusedError("this idempotency key was used for another request; make up a new key")
    return str(row.analysis_id)
