from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.episodes import REMINDER, DriftEpisodes
from deepfakestream.monitoring.governor import RetrainGovernor

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def watch(tmp_path):
    """Checks once an hour, as the pipeline does; returns what was alerted."""
    db = tmp_path / "governor.db"
    governor, episodes, hours = RetrainGovernor(db), DriftEpisodes(db), iter(range(10_000))

    def check(statuses: str, *, version: str = "1") -> list[str | None]:
        found = []
        for letter in statuses:
            hour = next(hours)
            status = {"d": "drift", "o": "ok", "t": "too_few"}[letter]
            report = DriftReport(
                status=status, model_version=version, n_current=60, n_reference=90, share=0.5,
                window_id=f"w{hour}", reason="",
            )  # fmt: skip
            event = episodes.event(report, NOON + hour * HOUR)
            governor.record_window(report, NOON + hour * HOUR)
            if event:
                episodes.record(event, report, NOON + hour * HOUR)
            found.append(event)
        return found

    return check


def test_quiet(watch):
    assert watch("ooto") == [None] * 4


def test_one_alert_at_the_beginning_a_reminder_a_day_and_one_at_the_end(watch):
    day = int(REMINDER / HOUR)
    events = watch("o" + "d" * (2 * day + 1) + "ooo")
    assert [(hour, event) for hour, event in enumerate(events) if event] == [
        (1, "drift.confirmed"),
        (1 + day, "drift.continues"),
        (1 + 2 * day, "drift.continues"),
        (1 + 2 * day + 2, "drift.over"),
    ]


def test_one_quiet_window_ends_nothing(watch):
    assert watch("dodtodoo") == ["drift.confirmed", *[None] * 6, "drift.over"]


def test_drift_that_comes_back_is_another_episode(watch):
    assert watch("doood") == ["drift.confirmed", None, "drift.over", None, "drift.confirmed"]


def test_versions_have_episodes_of_their_own(watch):
    assert watch("d") == ["drift.confirmed"]
    assert watch("d", version="2") == ["drift.confirmed"]
    assert watch("d") == [None]
