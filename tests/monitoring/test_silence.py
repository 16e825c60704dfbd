from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deepfakestream.monitoring.silence import GRACE, silent_since

HOURLY = [("7 * * * *", "UTC")]
LAST = datetime(2026, 3, 2, 12, 8, tzinfo=UTC)
LONG_AGO = LAST - timedelta(days=30)
THIRD = datetime(2026, 3, 2, 15, 7, tzinfo=UTC)
"""The third planned check after LAST."""


def at(moment, **changes):
    given = {"crons": HOURLY, "last": LAST, "watched_from": LONG_AGO} | changes
    return silent_since(given.pop("crons"), now=moment, **given)


@pytest.mark.parametrize(
    ("now", "silent"), [(LAST, False), (THIRD + GRACE, False), (THIRD + GRACE + timedelta(seconds=1), True)]
)
def test_three_missing_checks_are_silence(now, silent):
    assert (at(now) == LAST) is silent


def test_a_check_that_never_was_is_missed_since_the_start():
    start = LAST - timedelta(minutes=3)
    third = THIRD - timedelta(hours=1)
    assert at(third, last=None, watched_from=start) is None
    assert at(third + 2 * GRACE, last=None, watched_from=start) == start


def test_after_a_start_the_next_planned_check_is_waited_for():
    start = LAST + timedelta(days=3)
    assert at(start + timedelta(minutes=59), watched_from=start) is None
    assert at(start + timedelta(minutes=70), watched_from=start) == LAST


def test_the_plan_decides_how_long_three_intervals_are():
    daily = [("0 3 * * *", "Europe/Vienna")]
    assert at(THIRD + timedelta(days=1), crons=daily) is None
    assert at(LAST + timedelta(days=3), crons=daily) == LAST
    assert at(THIRD + timedelta(days=1), crons=[*daily, *HOURLY]) == LAST


def test_without_a_plan_nothing_is_missed():
    assert at(LAST + timedelta(days=99), crons=[]) is None
