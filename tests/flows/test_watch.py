"""The process that watches: failed runs, silence and servers that do not answer, at a real Prefect server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Running

from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.monitoring.drift_report import SIGN
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.settings import Settings
from flows.drift import drift
from flows.retrain import retrain
from flows.watch import Watch

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(workspace=tmp_path)


def alerted(settings: Settings) -> list[tuple[str, str]]:
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    return [(one.kind, one.state) for one in reversed(book.newest(99))]


@pytest.mark.slow
def test_a_run_that_failed_or_crashed_is_one_alert_until_one_completes(prefect_server, settings, clock):
    watch = Watch(settings, clock)
    seen = []
    for flow in (drift, retrain):
        for state in (Completed(), Failed(message="no disk\nmore"), Crashed(), Running(), Completed()):
            with get_client(sync_client=True) as client:
                run = client.create_flow_run(flow)
                client.set_flow_run_state(run.id, Running(), force=True)
                client.set_flow_run_state(run.id, state, force=True)
            for _ in range(2):
                watch.look(DriftParams())
            seen.append(len(alerted(settings)))
            if state.is_running():
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(run.id, Completed(), force=True)
    assert alerted(settings) == [
        ("flow.failed", "begins"),
        ("flow.failed", "over"),
        ("retrain.failed", "begins"),
        ("retrain.failed", "over"),
    ]
    assert seen == [0, 1, 1, 1, 2, 2, 3, 3, 3, 4], "a run under way may mend it: nothing is said meanwhile"
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    (begun,) = [one for one in book.newest(9) if one.kind == "flow.failed" and one.state == "begins"]
    assert "no disk" in begun.summary
    assert f"/runs/flow-run/{begun.facts['flow_run_id']}" in begun.links["flow run"]


@pytest.mark.slow
def test_three_missing_drift_checks_are_one_alert_until_one_completes(prefect_server, settings, clock):
    hourly = DriftParams(cron="0 * * * *")
    watch = Watch(settings, clock)
    watch.look(hourly)
    clock.now += timedelta(hours=2)
    watch.look(hourly)
    assert alerted(settings) == []
    for _ in range(2):
        clock.now += timedelta(hours=2)
        watch.look(hourly)
    assert alerted(settings) == [("drift.silent", "begins")]
    check: Any = Alerter(
        settings.alerts_db, directory=settings.alerts_dir, addresses=(), sends=False, clock=clock
    )
    check.sign(SIGN, "ok")
    for _ in range(2):
        watch.look(hourly)
    assert alerted(settings) == [("drift.silent", "begins"), ("drift.silent", "over")]
    clock.now += timedelta(hours=9)
    watch.look(DriftParams(cron=""))
    assert len(alerted(settings)) == 2, "without a schedule nothing is missing"


@pytest.mark.slow
def test_servers_that_do_not_answer_are_alerts_after_three_questions(prefect_server, settings, clock):
    away = settings.model_copy(update={"tracking_uri": NOWHERE})
    watch = Watch(away, clock)
    with temporary_settings({PREFECT_API_URL: f"{NOWHERE}/api"}):
        for _ in range(2):
            watch.look(DriftParams())
        assert alerted(settings) == []
        for _ in range(2):
            watch.look(DriftParams())
    began = [("registry.unreachable", "begins"), ("prefect.unreachable", "begins")]
    assert alerted(settings) == began
    Watch(settings, clock).look(DriftParams())
    assert alerted(settings) == [*began, ("registry.unreachable", "over"), ("prefect.unreachable", "over")]
