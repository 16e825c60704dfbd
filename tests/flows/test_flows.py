from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepfakestream.errors import DataError, ServerError
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.drift_report import ColumnDrift, DriftReport
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.pipeline.stages import STAGES
from deepfakestream.pipeline.trigger import Trigger
from deepfakestream.settings import Settings
from flows.drift import DRIFT_EVENT, drift
from flows.ingest import ingest
from flows.retrain import retrain
from flows.train import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server", "workspace")]


def report(status: str, html: Path | None = None) -> DriftReport:
    column = ColumnDrift(name="p_fake", kind="numerical", drifted=status == "drift", value=0.9, threshold=0.3)
    return DriftReport(
        status=status,
        model_version="3",
        n_current=60,
        n_reference=90,
        share=1.0,
        columns=(column,),
        window_id="w",
        reason="the score drifted",
        html=html,
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[DriftReport], None]:
    """Makes the pipeline's check find the given report."""

    def set_report(result: DriftReport) -> None:
        def run(_params: DriftParams, *, settings: Settings) -> DriftReport:
            assert (settings.workspace / "params.yaml").exists()
            return result

        monkeypatch.setattr("deepfakestream.pipeline.drift.run", run)

    return set_report


class Stages:
    """Notes the stages that the flows ask for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.triggers: list[Trigger] = []
        self.promotions_to_fail = 0
        for module, function in (("train", "reproduce"), ("retrain", "renew")):
            monkeypatch.setattr(f"flows.{module}.{function}", self._run)
        monkeypatch.setattr("flows.train.promote_if_better", self._promote)
        monkeypatch.setattr("deepfakestream.pipeline.retrain.champion_version", lambda _store: "3")

    def _run(
        self, _settings: Settings, stage: str, trigger: Trigger, *, listener: Callable[[str], None]
    ) -> bool:
        listener(f"{stage}: 100% of the work")
        self.done.append(stage)
        self.triggers.append(trigger)
        return True

    def _promote(self, _settings: Settings) -> tuple[str, str]:
        self.done.append("promote")
        if self.promotions_to_fail:
            self.promotions_to_fail -= 1
            raise ServerError("the registry does not answer")
        return "held", "HOLD: not better"


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return Stages(monkeypatch)


def post(api: str, path: str, body: dict[str, Any]) -> Any:
    return httpx.post(f"{api}/{path}", json=body, timeout=30).raise_for_status().json()


def events(api: str, *, since: str) -> list[dict[str, Any]]:
    """Drift events that the server has stored; it stores them with a delay."""
    query = {"filter": {"event": {"name": [DRIFT_EVENT]}, "occurred": {"since": since}}}
    return list(post(api, "events/filter", query)["events"])


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def newest_run(api: str, flow: str) -> dict[str, Any]:
    query = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
    return dict(post(api, "flow_runs/filter", query)[0])


def shown(api: str, flow: str) -> tuple[str, str, list[str], str]:
    """Name, state's name, tags and the state's message of a flow's newest run."""
    run = newest_run(api, flow)
    return run["name"], run["state"]["name"], run["tags"], run["state"]["message"]


def test_a_run_of_the_drift_check_says_what_it_found(found, prefect_server):
    for status in ("ok", "drift", "too_few"):
        found(report(status))
        assert drift() == status
        name, state, tags, message = shown(prefect_server, "drift")
        assert name.startswith("drift: by hand, 20")
        assert (state, tags, message) == ("Completed", [status], f"{status}: the score drifted")


def test_a_quiet_check_publishes_and_announces_nothing(found, prefect_server):
    since = now()
    found(report("ok"))
    assert drift() == "ok"
    time.sleep(2)
    assert events(prefect_server, since=since) == []


def test_drift_is_published_and_announced(found, prefect_server, workspace, tmp_path):
    since = now()
    found(report("drift", tmp_path / "report.html"))
    assert drift() == "drift"
    artifacts = {each["key"]: each["data"] for each in post(prefect_server, "artifacts/latest/filter", {})}
    assert "| p_fake | 0.90 | 0.30 | **drifted**" in artifacts["drift-findings"]
    assert workspace.drift_page_url in artifacts["drift-report"]
    assert "file:" not in artifacts["drift-report"]
    deadline = time.monotonic() + 30
    while not (seen := events(prefect_server, since=since)) and time.monotonic() < deadline:
        time.sleep(0.5)
    (event,) = seen
    assert event["resource"]["prefect.resource.id"] == "deepfakestream.model.deepfakestream-detector"
    assert event["payload"]["summary"] == "drift: the score drifted"
    assert event["payload"]["report"]["columns"][0]["value"] == 0.9


def test_train_runs_the_stages_and_asks_the_gate(stages, prefect_server):
    assert train() == "HOLD: not better"
    assert stages.done == [*STAGES, "promote"]
    name, state, tags, message = shown(prefect_server, "train")
    assert name.startswith("train: by hand, 20")
    assert (state, tags, message) == ("Completed", ["held"], "held: HOLD: not better")
    (trigger,) = set(stages.triggers)
    assert (trigger.occasion, trigger.claim, bool(trigger.flow_run_id)) == ("manual", "", True)


def test_promotion_is_tried_again_while_the_registry_is_away(stages, monkeypatch):
    stages.promotions_to_fail = 1
    monkeypatch.setattr("flows.train.promote.retry_delay_seconds", 0)
    assert train() == "HOLD: not better"
    assert stages.done == [*STAGES, "promote", "promote"]


def test_a_refused_retraining_is_a_completed_run_that_says_why(stages, workspace, prefect_server):
    reason = "drift: 6 of 11 columns drifted"
    assert "0 of the last 0 windows of version 3 drifted" in retrain(reason=reason, occasion="drift")
    assert stages.done == []
    name, state, tags, message = shown(prefect_server, "retrain")
    assert (name, state, tags) == (f"retrain: {reason}", "Completed", ["refused"])
    assert message.startswith("refused: 0 of the last 0 windows of version 3 drifted")
    assert len(RetrainGovernor(workspace.governor_db).refusals()) == 1


def test_a_retraining_runs_once_and_gives_its_claim_back(stages, workspace, prefect_server):
    assert retrain(reason="for a test", force=True) == "HOLD: not better"
    assert stages.done == [*STAGES, "promote"]
    (trigger,) = set(stages.triggers)
    assert (trigger.occasion, trigger.reason) == ("manual", "for a test")
    assert len(trigger.claim) == 32
    run = httpx.get(f"{prefect_server}/flow_runs/{trigger.flow_run_id}", timeout=30).json()
    assert (run["name"], run["id"]) == (trigger.flow_run_name, trigger.flow_run_id)
    assert (run["name"], run["tags"]) == ("retrain: for a test", ["held"])
    wanted = {"logs": {"flow_run_id": {"any_": [trigger.flow_run_id]}}}
    deadline = time.monotonic() + 60  # logs are sent in batches
    while time.monotonic() < deadline:
        lines = {each["message"] for each in post(prefect_server, "logs/filter", wanted)}
        if {f"{stage}: 100% of the work" for stage in STAGES} <= lines:
            break
        time.sleep(0.5)
    else:
        pytest.fail(f"the stages' lines are not in the log of the run: {lines}")
    (alert,) = AlertBook(workspace.alerts_db, directory=workspace.alerts_dir).newest(9)
    assert alert.links["flow run"].endswith(f"/runs/flow-run/{trigger.flow_run_id}")
    assert "cooling down" not in retrain(force=True)


def test_a_promotion_that_cannot_succeed_is_not_tried_again(stages, monkeypatch):
    def refuse(_settings: Settings) -> tuple[str, str]:
        stages.done.append("promote")
        raise DataError("the model was not evaluated")

    monkeypatch.setattr("flows.train.promote_if_better", refuse)
    with pytest.raises(DataError, match="not evaluated"):
        train()
    assert stages.done == [*STAGES, "promote"]


def test_a_source_that_is_missing_fails_the_ingest_run_by_name(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        ingest(str(tmp_path / "nowhere"))
