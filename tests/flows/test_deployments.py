from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.schedules import CronSchedule

from deepfakestream.local.servers import running
from deepfakestream.params import Params
from deepfakestream.settings import Settings
from flows.deployments import deployments, register, schedules
from flows.drift import DRIFT_EVENT

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120.0


def test_the_four_deployments():
    made = {each.name: each for each in deployments()}
    assert list(made) == ["ingest", "train", "drift", "retrain"]
    assert all(each.entrypoint == f"flows.{name}.{name}" for name, each in made.items())
    assert all(each.concurrency_options is not None for each in made.values())


def test_schedules_come_from_the_parameters():
    found = schedules(Params())
    assert [(name, cron.cron, cron.timezone) for name, cron in found.items()] == [
        ("drift", "7 * * * *", "UTC"),
        ("retrain", "0 3 * * 0", "UTC"),
    ]
    none = Params(drift={"cron": ""}, retrain={"cron": "", "time_zone": "Europe/Vienna"})
    assert schedules(none) == {"drift": None, "retrain": None}


def crons(client: Any, name: str) -> list[tuple[str, bool]]:
    found = client.read_deployment_by_name(f"{name}/{name}").schedules
    return [(each.schedule.cron, each.active) for each in found]


def automations(client: Any) -> dict[str, bool]:
    return {each.name: each.enabled for each in client.read_automations()}


@pytest.mark.slow
def test_what_operators_change_in_prefect_survives_a_restart(prefect_server, tmp_path):
    settings, params = Settings(workspace=tmp_path), Params()
    settings.work_dir.mkdir()
    with get_client(sync_client=True) as client:
        register(params, settings)
        assert crons(client, "drift") == [("7 * * * *", True)]
        assert crons(client, "retrain") == [("0 3 * * 0", True)]
        assert automations(client) == {"retrain-on-drift": True, "retrain-on-data": True}

        drift = client.read_deployment_by_name("drift/drift")
        client.update_deployment_schedule(drift.id, drift.schedules[0].id, active=False)
        retrain = client.read_deployment_by_name("retrain/retrain")
        client.create_deployment_schedules(retrain.id, [(CronSchedule(cron="0 5 * * 3"), True)])
        client.pause_automation(client.read_automations_by_name("retrain-on-drift")[0].id)
        client.pause_deployment(client.read_deployment_by_name("ingest/ingest").id)
        for _ in range(2):
            register(params, settings)
            assert crons(client, "drift") == [("7 * * * *", False)]
            assert sorted(crons(client, "retrain")) == [("0 3 * * 0", True), ("0 5 * * 3", True)]
            assert automations(client) == {"retrain-on-drift": False, "retrain-on-data": True}
            assert client.read_deployment_by_name("ingest/ingest").paused

        changed = Params(drift={"cron": "30 * * * *"}, retrain={"cron": ""})
        register(changed, settings)
        assert crons(client, "drift") == [("30 * * * *", False)]
        assert crons(client, "retrain") == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.5)
    pytest.fail(f"nothing after {TIMEOUT_S:.0f} s")


@pytest.mark.slow
def test_a_drift_event_starts_the_retrain_deployment_once(tmp_path):
    """Real Prefect server, real flows process: event → automation → run → the governor's recorded answer."""
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    # Without the schedule, whose planned runs would be counted too.
    (tmp_path / "params.yaml").write_text(params.replace('cron: "0 3 * * 0"', 'cron: ""'), encoding="utf-8")
    settings = Settings(workspace=tmp_path, prefect_port=free_port())
    with running(settings, ("prefect", "flows")) as servers, httpx.Client(timeout=30) as client:

        def post(path: str, body: Any) -> Any:
            answer = client.post(f"{settings.prefect_api_url}/{path}", json=body).raise_for_status()
            return answer.json() if answer.content else None

        def runs(flow: str) -> list[dict[str, Any]]:
            query = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
            return list(post("flow_runs/filter", query))

        assert wait_for(lambda: runs("drift")), "the scheduler plans drift checks"
        assert runs("retrain") == []
        event = {
            "occurred": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "event": DRIFT_EVENT,
            "resource": {"prefect.resource.id": "deepfakestream.model.deepfakestream-detector"},
            "payload": {"summary": "drift: 5 of 11 columns drifted"},
            "id": "8f3b2c1e-6d0f-4c57-9a55-0a1f0e6f7d11",
        }
        post("events", [event])
        (run,) = wait_for(lambda: [each for each in runs("retrain") if each["state_type"] == "COMPLETED"])
        assert run["parameters"]["reason"] == "drift: 5 of 11 columns drifted"
        assert len(runs("retrain")) == 1
        servers.check()
    with closing(sqlite3.connect(settings.governor_db)) as connection:
        ((reasons,),) = connection.execute("SELECT reasons FROM refusals").fetchall()
    assert "0 of the last 0 windows of version 0 drifted" in reasons
