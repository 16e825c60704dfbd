"""What is kept for how long: media, results, and what is left of an analysis after both."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from deepfakestream.host.database import Database
from deepfakestream.jobs.analyses import Clock, forget
from deepfakestream.jobs.media_store import MediaStore
from deepfakestream.jobs.records import to_analysis
from deepfakestream.jobs.tables import ANALYSES, DELIVERIES, EVENTS, IDEMPOTENCY, JOBS
from deepfakestream.jobs.types import Analysis

TOMBSTONE_H = 30 * 24.0
"""How long an expired analysis still answers that it has expired."""
STRAY_H = 1.0
"""Age from which media that belong to no analysis are left over from a kill."""
_BATCH = 100
_LOG = logging.getLogger(__name__)


class Caretaker:
    """Removes what has expired, and hands finished analyses to the prediction log."""

    def __init__(self, database: Database, media: MediaStore, *, clock: Clock = time.time) -> None:
        self._database = database
        self._media = media
        self._clock = clock

    def remove_expired(self) -> int:
        """Remove media, results and tombstones whose time has come; returns how many analyses it touched."""
        now = self._clock()
        media = self._due(ANALYSES.c.has_media == 1, ANALYSES.c.media_until < now, _NO_WORK)
        for row in media:
            self._media.remove_media(row.id)
            self._update(row.id, has_media=0)
        results = self._due(ANALYSES.c.result_until < now, ANALYSES.c.status != "expired", _NO_WORK)
        for row in results:
            self._media.remove(row.id)
            with self._database.writing() as connection:
                connection.execute(sa.delete(EVENTS).where(EVENTS.c.analysis_id == row.id))
                connection.execute(sa.update(ANALYSES).where(ANALYSES.c.id == row.id).values(**_EMPTIED))
        oldest = now - 3600 * TOMBSTONE_H
        tombstones = self._due(ANALYSES.c.status == "expired", ANALYSES.c.result_until < oldest)
        for row in tombstones:
            with self._database.writing() as connection:
                forget(connection, row.id)
        return len(media) + len(results) + len(tombstones)

    def remove_strays(self) -> None:
        """Remove media without an analysis, and deliveries and keys that nobody needs any more."""
        self._media.remove_partial_uploads()
        for analysis_id in self._media.stored_ids(min_age_s=3600 * STRAY_H):
            with self._database.reading() as connection:
                known = connection.execute(
                    sa.select(ANALYSES.c.id).where(ANALYSES.c.id == analysis_id)
                ).first()
            if known is None:
                _LOG.info("removing media of no analysis: %s", analysis_id)
                self._media.remove(analysis_id)
        now = self._clock()
        with self._database.writing() as connection:
            connection.execute(sa.delete(IDEMPOTENCY).where(IDEMPOTENCY.c.expires_at < now))
            connection.execute(
                sa.delete(DELIVERIES).where(
                    DELIVERIES.c.state != "pending", DELIVERIES.c.created_at < now - 3600 * TOMBSTONE_H
                )
            )

    def log_finished(self, append: Callable[[Analysis], None]) -> int:
        """Call `append` with each finished analysis that the prediction log lacks; returns how many.

        An analysis may be given again after a kill, so `append` must replace what it has of the same id.
        """
        rows = self._due(ANALYSES.c.status == "succeeded", ANALYSES.c.logged == 0)
        for row in rows:
            append(to_analysis(row))
            self._update(row.id, logged=1)
        return len(rows)

    def _due(self, *conditions: Any) -> list[sa.Row[Any]]:
        query = sa.select(ANALYSES).where(*conditions).order_by(ANALYSES.c.created_at).limit(_BATCH)
        with self._database.reading() as connection:
            return list(connection.execute(query))

    def _update(self, analysis_id: str, **columns: int) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(ANALYSES).where(ANALYSES.c.id == analysis_id).values(**columns))


_NO_WORK = ~sa.exists().where(JOBS.c.analysis_id == ANALYSES.c.id)
_EMPTIED: dict[str, Any] = {
    "status": "expired",
    "has_media": 0,
    "verdict": None,
    "p_fake": None,
    "result": None,
    "timings_ms": None,
    "error": None,
    "heatmaps": "none",
    "pictures": "none",
    "explanation": json.dumps([]),
    "webhook_url": None,
}
