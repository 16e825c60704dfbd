"""Silence: something that a schedule promises was not done for three of its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

NUM_INTERVALS = 3
GRACE = timedelta(minutes=10)
"""What a run may take to start and to end."""


def silent_since(
    crons: Sequence[tuple[str, str]], *, last: datetime | None, watched_from: datetime, now: datetime
) -> datetime | None:
    """Return since when a check is missing, or None where three planned ones in a row have not been missed.

    After a start nothing is missing before the next planned one: a machine that was off had nothing to do.

    Args:
        crons: each schedule that plans the check, with its time zone.
        last: when it was completed last; None: never.
        watched_from: since when this process watches.
        now: moment, in UTC.
    """
    since = last or watched_from
    for cron, time_zone in crons:
        zone = ZoneInfo(time_zone)
        *_, missed = islice(CronSim(cron, since.astimezone(zone)), NUM_INTERVALS)
        planned = next(CronSim(cron, watched_from.astimezone(zone)))
        if now > max(missed, planned) + GRACE:
            return since
    return None
