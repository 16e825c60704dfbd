"""Episodes of drift: one alert when drift begins, one reminder a day while it lasts, one when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.governor_store import GovernorStore, as_text

Event = Literal["drift.confirmed", "drift.continues", "drift.over"]
REMINDER = timedelta(days=1)
CALM_WINDOWS = 2
"""So many windows without drift, one after the other, end an episode: one alone may be chance."""


class DriftEpisodes:
    """The episodes in the governor's file. Every moment is given by the caller and knows its time zone."""

    def __init__(self, db: Path) -> None:
        """Open or make the store.

        Raises:
            DataError: the file cannot be used.
        """
        self._store = GovernorStore(db)

    def event(self, report: DriftReport, now: datetime) -> Event | None:
        """Return what a check is worth telling; None: nothing, or it was said already.

        Args:
            report: of the check; its window need not be recorded yet.
            now: moment, in UTC.
        """
        alerted_at = self._alerted_at(report.model_version)
        if report.status == "drift":
            if alerted_at is None:
                return "drift.confirmed"
            return "drift.continues" if now - alerted_at >= REMINDER else None
        if report.status == "ok" and alerted_at is not None and self._is_calm(report):
            return "drift.over"
        return None

    def record(self, event: Event, report: DriftReport, now: datetime) -> None:
        """Remember that somebody was alerted.

        Args:
            event: from `event`.
            report: of the check.
            now: moment, in UTC.
        """
        with self._store.transaction() as connection:
            if event == "drift.over":
                connection.execute("DELETE FROM episodes WHERE model_version = ?", (report.model_version,))
                return
            connection.execute(
                "INSERT INTO episodes (model_version, began_at, alerted_at) VALUES (?, ?, ?) "
                "ON CONFLICT (model_version) DO UPDATE SET alerted_at = excluded.alerted_at",
                (report.model_version, as_text(now), as_text(now)),
            )

    def _alerted_at(self, model_version: str) -> datetime | None:
        with self._store.connection() as connection:
            row = connection.execute(
                "SELECT alerted_at FROM episodes WHERE model_version = ?", (model_version,)
            ).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def _is_calm(self, report: DriftReport) -> bool:
        with self._store.connection() as connection:
            rows = connection.execute(
                "SELECT status FROM windows WHERE model_version = ? AND window_id != ? "
                "ORDER BY sequence DESC LIMIT ?",
                (report.model_version, report.window_id, CALM_WINDOWS - 1),
            ).fetchall()
        return len(rows) == CALM_WINDOWS - 1 and all(status == "ok" for (status,) in rows)
