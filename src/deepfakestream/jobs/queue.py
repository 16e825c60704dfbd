"""The queue of work and its leases: each job is at one worker at a time, and its outcome is written once.

A worker that dies stops renewing its lease, and the job goes to another. One that was only slow finds its
lease gone and drops what it has. So work is done at least once, and counts exactly once.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, get_args

import sqlalchemy as sa

from deepfakestream.host.database import Database
from deepfakestream.jobs.analyses import Analyses, Clock, verdict_columns
from deepfakestream.jobs.records import add_end, add_event, add_job, failure_text, locked
from deepfakestream.jobs.tables import ANALYSES, JOBS, WORKERS
from deepfakestream.jobs.types import (
    HEATMAP_PRIORITY,
    Explanation,
    FaceKey,
    Failure,
    Job,
    Outcome,
    Task,
    Verdict,
)
from deepfakestream.jobs.usage import add_usage

LEASE_S = 30.0
"""How long a worker may be silent. Clocks of machines that share a store must agree to a few seconds."""
MAX_ATTEMPTS = 5
"""Times that work is begun. A file that ends its worker that often will always do so."""
ALIVE_S = 30.0
"""A worker that was seen within this time counts as there."""
NUM_TIMED = 20
"""Finished videos whose mean time makes the estimate for the next."""
FIRST_GUESS_S = 10.0
"""Time of a video before any has finished."""

WORKER_LOST = Failure(
    type="worker-lost",
    status=500,
    title="The analysis was given up",
    detail=f"The analysis was begun {MAX_ATTEMPTS} times and never came to its end; report the id.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What waits, and how long it will."""

    num_queued: int
    """Videos that no worker is at."""
    running_s: tuple[float, ...]
    """Seconds since each video was begun that a worker is at."""
    num_workers: int
    seconds_each: float
    """Time that a video takes a worker, by those that finished last."""

    @property
    def num_running(self) -> int:
        """Videos that a worker is at."""
        return len(self.running_s)

    def eta_s(self, position: int) -> float:
        """Return the seconds until the video at a position (from 1) of the queue has its verdict."""
        workers = max(1, self.num_workers)
        rounds = 1 + (position - 1 + min(self.num_running, workers)) / workers
        return rounds * self.seconds_each


class JobQueue:
    """The queue of a job store, as its workers see it."""

    def __init__(self, database: Database, analyses: Analyses, *, clock: Clock = time.time) -> None:
        self._database = database
        self._analyses = analyses
        self._clock = clock

    def claim(self, worker: str, tasks: Collection[Task] = get_args(Task)) -> Job | None:
        """Take the next job, or None where there is none: one that nobody has, or whose lease ran out.

        A job that was begun too often ends its analysis as failed and is not given out.

        Args:
            worker: id of the worker.
            tasks: kinds of work that it does.

        Raises:
            ServerError: the store does not answer.
        """
        while True:
            now = self._clock()
            with self._database.writing() as connection:
                row = connection.execute(
                    sa.select(JOBS)
                    .where(JOBS.c.task.in_(tasks), sa.or_(JOBS.c.lease.is_(None), JOBS.c.lease_until < now))
                    .order_by(JOBS.c.priority, JOBS.c.created_at, JOBS.c.id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                ).first()
                if row is None:
                    return None
                if row.attempts < MAX_ATTEMPTS:
                    return self._take(connection, row, worker, now)
                connection.execute(sa.delete(JOBS).where(JOBS.c.id == row.id))
                self._end(connection, row.task, row.analysis_id, WORKER_LOST, now, _face(row))

    def renew(self, job: Job, *, stage: str = "", done: int = 0, total: int | None = None) -> bool:
        """Prolong the lease and note the progress; False where the job is no longer the caller's.

        Args:
            job: what was taken.
            stage: what is being done.
            done: frames that were searched.
            total: frames that will be, at most.
        """
        now = self._clock()
        with self._database.writing() as connection:
            kept = connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job.id, JOBS.c.lease == job.lease)
                .values(lease_until=now + LEASE_S)
            )
            if not kept.rowcount:
                return False
            if job.task == "scan" and stage:
                row = locked(connection, job.analysis_id)
                if row is None:
                    return False
                progress = {"stage": stage, "frames_done": done, "frames_total": total}
                if progress != {name: getattr(row, name) for name in progress}:
                    connection.execute(sa.update(ANALYSES).where(ANALYSES.c.id == row.id).values(**progress))
                    add_event(connection, row.id, "progress", progress, now=now)
        return True

    def finish(self, job: Job, outcome: Outcome) -> bool:
        """Write the outcome and take the job out of the queue, both or neither.

        Args:
            job: as the queue gave it.
            outcome: verdict, failure or explanation.

        Returns:
            False where the job is no longer the caller's: canceled, removed, or finished by another worker.
            Nothing is written then.
        """
        now = self._clock()
        with self._database.writing(durable=True) as connection:
            mine = connection.execute(sa.delete(JOBS).where(JOBS.c.id == job.id, JOBS.c.lease == job.lease))
            return bool(mine.rowcount) and self._end(
                connection, job.task, job.analysis_id, outcome, now, job.face
            )

    def give_back(self, job: Job, *, counts: bool = False) -> None:
        """Let another worker take the job now; for one that is asked to end, or cannot work.

        Args:
            job: what was taken.
            counts: whether this was one of its `MAX_ATTEMPTS`: right where the job may be the cause.
        """
        attempts = JOBS.c.attempts if counts else JOBS.c.attempts - 1
        with self._database.writing() as connection:
            mine = connection.execute(
                sa.update(JOBS)
                .where(JOBS.c.id == job.id, JOBS.c.lease == job.lease)
                .values(lease=None, lease_until=None, worker=None, attempts=attempts)
            )
            if mine.rowcount and job.task == "scan":
                self._requeued(connection, job.analysis_id, self._clock())

    def register(self, worker: str, place: str) -> None:
        """Note that a worker is there; to be repeated at least every `ALIVE_S` seconds.

        Args:
            worker: its id.
            place: where it runs, as `host.process_place.place` says.
        """
        now = self._clock()
        with self._database.writing() as connection:
            seen = connection.execute(sa.update(WORKERS).where(WORKERS.c.id == worker).values(seen_at=now))
            if not seen.rowcount:
                connection.execute(
                    sa.insert(WORKERS).values(id=worker, place=place, started_at=now, seen_at=now)
                )

    def sign_off(self, worker: str) -> None:
        """Note that a worker has ended, and give back what it still held."""
        now = self._clock()
        with self._database.writing() as connection:
            held = connection.execute(
                sa.select(JOBS).where(JOBS.c.worker == worker).order_by(JOBS.c.id).with_for_update()
            ).all()
            for row in held:
                connection.execute(
                    sa.update(JOBS)
                    .where(JOBS.c.id == row.id)
                    .values(lease=None, lease_until=None, worker=None)
                )
                if row.task == "scan":
                    self._requeued(connection, row.analysis_id, now)
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.id == worker))

    def workers_at(self, place: str) -> list[str]:
        """Return the workers that were noted at a place, those that were killed included."""
        query = sa.select(WORKERS.c.id).where(WORKERS.c.place == place).order_by(WORKERS.c.id)
        with self._database.reading() as connection:
            return [row.id for row in connection.execute(query)]

    def state(self) -> QueueState:
        """Return how much waits, who works, and how long a video takes."""
        now = self._clock()
        is_free = sa.or_(JOBS.c.lease.is_(None), JOBS.c.lease_until < now)
        timed = (
            sa.select((ANALYSES.c.finished_at - ANALYSES.c.started_at).label("seconds"))
            .where(ANALYSES.c.kind == "video", ANALYSES.c.status == "succeeded")
            .order_by(ANALYSES.c.finished_at.desc())
            .limit(NUM_TIMED)
            .subquery()
        )
        with self._database.reading() as connection:
            scans = sa.select(sa.func.count()).select_from(JOBS).where(JOBS.c.task == "scan")
            queued = connection.execute(scans.where(is_free)).scalar_one()
            begun_at = connection.execute(
                sa.select(ANALYSES.c.started_at)
                .join(JOBS, JOBS.c.analysis_id == ANALYSES.c.id)
                .where(JOBS.c.task == "scan", sa.not_(is_free))
            ).scalars()
            running_s = tuple(max(0.0, now - each) for each in begun_at)
            workers = connection.execute(
                sa.select(sa.func.count()).select_from(WORKERS).where(WORKERS.c.seen_at > now - ALIVE_S)
            ).scalar_one()
            mean = connection.execute(sa.select(sa.func.avg(timed.c.seconds))).scalar()
        return QueueState(
            num_queued=int(queued),
            running_s=running_s,
            num_workers=int(workers),
            seconds_each=FIRST_GUESS_S if mean is None else max(0.1, float(mean)),
        )

    def position(self, analysis_id: str) -> int | None:
        """Return the place of a video among those that wait, from 1; None where it does not."""
        now = self._clock()
        is_free = sa.or_(JOBS.c.lease.is_(None), JOBS.c.lease_until < now)
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(JOBS).where(JOBS.c.analysis_id == analysis_id, JOBS.c.task == "scan", is_free)
            ).first()
            if row is None:
                return None
            turn = sa.tuple_(JOBS.c.priority, JOBS.c.created_at, JOBS.c.id)
            before = (
                sa.select(sa.func.count())
                .select_from(JOBS)
                .where(JOBS.c.task == "scan", is_free, turn < sa.tuple_(row.priority, row.created_at, row.id))
            )
            return int(connection.execute(before).scalar_one()) + 1

    def num_waiting(self, owner: str) -> int:
        """Return how many videos of an owner have no verdict yet."""
        query = (
            sa.select(sa.func.count()).select_from(JOBS).where(JOBS.c.owner == owner, JOBS.c.task == "scan")
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _take(self, connection: sa.Connection, row: sa.Row[Any], worker: str, now: float) -> Job | None:
        lease = uuid.uuid4().hex
        connection.execute(
            sa.update(JOBS)
            .where(JOBS.c.id == row.id)
            .values(lease=lease, lease_until=now + LEASE_S, worker=worker, attempts=row.attempts + 1)
        )
        analysis = locked(connection, row.analysis_id)
        assert analysis is not None, "a job goes with its analysis"
        if row.task == "scan":
            connection.execute(
                sa.update(ANALYSES)
                .where(ANALYSES.c.id == analysis.id)
                .values(status="running", started_at=now, stage=None, frames_done=0, frames_total=None)
            )
            add_event(
                connection, analysis.id, "status", {"status": "running", "attempt": row.attempts + 1}, now=now
            )
        return Job(
            id=row.id,
            analysis_id=row.analysis_id,
            task=row.task,
            kind=analysis.kind,
            attempts=row.attempts + 1,
            lease=lease,
            pictures=analysis.pictures == "wanted" if row.task == "scan" else analysis.pictures != "kept",
            face=_face(row),
            num_explained=len(json.loads(analysis.explanation or "[]")),
        )

    def _requeued(self, connection: sa.Connection, analysis_id: str, now: float) -> None:
        if locked(connection, analysis_id) is None:
            return
        connection.execute(
            sa.update(ANALYSES).where(ANALYSES.c.id == analysis_id).values(status="queued", stage=None)
        )
        add_event(connection, analysis_id, "status", {"status": "queued"}, now=now)

    def _end(
        self,
        connection: sa.Connection,
        task: Task,
        analysis_id: str,
        outcome: Outcome,
        now: float,
        face: FaceKey | None,
    ) -> bool:
        row = locked(connection, analysis_id)
        if row is None:
            return False
        if task == "explain":
            self._explained(connection, row, outcome, now, face)
        elif isinstance(outcome, Verdict):
            self._succeeded(connection, row, outcome, now)
        elif isinstance(outcome, Failure):
            columns = {
                "status": "failed",
                "stage": None,
                "error": failure_text(outcome),
                "heatmaps": "failed",
            }
            connection.execute(
                sa.update(ANALYSES)
                .where(ANALYSES.c.id == row.id)
                .values(**columns, **self._analyses.end_columns(now))
            )
            facts = {"type": outcome.type, "reason": outcome.reason}
            add_end(connection, row, "failed", now=now, **facts)
        return True

    def _succeeded(self, connection: sa.Connection, row: sa.Row[Any], verdict: Verdict, now: float) -> None:
        columns = verdict_columns(verdict) | self._analyses.end_columns(now)
        connection.execute(sa.update(ANALYSES).where(ANALYSES.c.id == row.id).values(**columns))
        add_end(connection, row, "succeeded", now=now, verdict=verdict.verdict, p_fake=verdict.p_fake)
        add_usage(connection, row.owner, verdict, now=now)
        if row.heatmaps == "queued" and verdict.p_fake is not None:
            add_job(connection, row.id, "explain", owner=row.owner, priority=HEATMAP_PRIORITY, now=now)

    def _explained(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        outcome: Outcome,
        now: float,
        face: FaceKey | None,
    ) -> None:
        faces = [] if face is None else json.loads(row.explanation or "[]")
        columns: dict[str, Any] = {}
        if isinstance(outcome, Explanation):
            faces = [*faces, *outcome.faces]
            columns = {"pictures": "kept"} if outcome.pictures else {}
        state = "ready" if faces else "failed"
        connection.execute(
            sa.update(ANALYSES)
            .where(ANALYSES.c.id == row.id)
            .values(heatmaps=state, explanation=json.dumps(faces), **columns)
        )
        add_event(connection, row.id, "heatmaps", {"heatmaps": state, "number": len(faces)}, now=now)


def _face(row: sa.Row[Any]) -> FaceKey | None:
    return None if row.frame is None else (row.frame, row.track)
