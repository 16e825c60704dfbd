"""What owners used, by day: images, and seconds of video. Answers without a score are not counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from deepfakestream.host.database import Database
from deepfakestream.jobs.tables import USAGE
from deepfakestream.jobs.types import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUsage:
    """What one owner used on one day (UTC)."""

    day: str
    kind: str
    items: int
    media_s: float


def day_of(now: float) -> str:
    """Return the day of a time, e.g. `2026-11-30`; days are those of UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def add_usage(connection: sa.Connection, owner: str, verdict: Verdict, *, now: float) -> None:
    """Count a verdict. One without a score costs nothing.

    Args:
        connection: in a transaction.
        owner: who is charged.
        verdict: with the kind and length of the file.
        now: seconds since 1970, UTC.
    """
    if verdict.p_fake is None:
        return
    key: dict[str, Any] = {"owner": owner, "day": day_of(now), "kind": verdict.kind}
    # PostgreSQL and SQLite share this statement, which SQLAlchemy has for each of them only.
    connection.execute(
        sa.text(
            "INSERT INTO usage (owner, day, kind, items, media_s) VALUES (:owner, :day, :kind, 1, :media_s) "
            "ON CONFLICT (owner, day, kind) DO UPDATE SET items = usage.items + 1, "
            "media_s = usage.media_s + :media_s"
        ),
        {**key, "media_s": verdict.media_s},
    )


def read_usage(database: Database, owner: str, *, since: str) -> Sequence[DayUsage]:
    """Return what an owner used from a day on, in order of days.

    Args:
        database: the job store.
        owner: whose usage it is.
        since: first day, as YYYY-MM-DD in UTC.
    """
    query = (
        sa.select(USAGE)
        .where(USAGE.c.owner == owner, USAGE.c.day >= since)
        .order_by(USAGE.c.day, USAGE.c.kind)
    )
    with database.reading() as connection:
        return [
            DayUsage(day=row.day, kind=row.kind, items=row.items, media_s=row.media_s)
            for row in connection.execute(query)
        ]
