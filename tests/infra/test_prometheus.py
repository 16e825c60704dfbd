"""Rules and boards at a real Prometheus that scrapes a real service whose loop has a history."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from loop_state import VERSION, write_loop_state
from PIL import Image
from prometheus_client import CollectorRegistry

from deepfakestream.service.admission import Admission
from deepfakestream.service.app import create_app
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.runtime import Runtime
from deepfakestream.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
TIMEOUT_S = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}; make test-programs")
    return found


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail(f"nothing after {TIMEOUT_S:.0f} s")


@contextmanager
def prometheus(folder: Path, *, target: str) -> Iterator[str]:
    """Run one with the project's rules that scrapes the target each second; gives its address."""
    config = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(INFRA / "prometheus" / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    del config["alerting"]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        wait_for(lambda: httpx.get(f"http://{address}/-/ready", timeout=10).status_code == 200)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def service(settings: Settings) -> Iterator[None]:
    """Answer requests at the settings' port, with the packaged model, in a thread."""
    runtime = Runtime(settings=lambda: settings, metrics=lambda: ServiceMetrics(CollectorRegistry()))
    app = Admission(create_app(runtime), host=runtime)
    config = uvicorn.Config(app, host=settings.host, port=settings.service_port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: httpx.get(f"{settings.service_url}/v1/model", timeout=10).status_code == 200)
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=120)


def queries() -> list[tuple[str, str]]:
    boards = [
        json.loads(path.read_text()) for path in sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
    ]
    return [
        (f"{board['title']}: {panel['title']}{target['refId'].strip('A')}", target["expr"])
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def test_the_rules_are_valid() -> None:
    rules = INFRA / "prometheus" / "alerts.yml"
    subprocess.run([program("promtool"), "check", "rules", str(rules)], check=True)


def test_boards_and_rules_find_what_a_running_service_shows(tmp_path: Path) -> None:
    program("prometheus")
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    settings = Settings(workspace=tmp_path, service_port=free_port(), detector="fast", decoding="inline")
    write_loop_state(settings)
    picture = BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    with (
        service(settings),
        prometheus(tmp_path, target=f"127.0.0.1:{settings.service_port}") as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):

        def ask(query: str) -> list[dict[str, Any]]:
            answer = client.get("/api/v1/query", params={"query": query}).json()
            assert answer["status"] == "success", (query, answer)
            return list(answer["data"]["result"])

        files = {"file": ("x.png", picture.getvalue())}
        httpx.post(f"{settings.service_url}/v1/images", files=files, timeout=120).raise_for_status()
        wait_for(lambda: ask("deepfakestream_predictions_total"))
        found = {name: ask(query) for name, query in queries()}
        begin = "DeepfakeStream: drift and retraining: "
        drift = {name.removeprefix(begin): found[name] for name in found if name.startswith(begin)}
        # Rates of scores need two scrapes of a file with a face; every other panel has a state to show.
        empty = {name for name, result in drift.items() if not result}
        assert empty <= {"Mean score", "Share called fake"}
        (newest,) = drift["Newest drift check"]
        assert newest["metric"]["status"] == "drift"
        assert newest["metric"]["version"] == VERSION
        over = "Columns and embeddings over their thresholds; 1 and more is drift"
        psi, (embeddings,) = drift[over], drift[f"{over}B"]
        assert float(embeddings["value"][1]) == pytest.approx(1.25)
        fps, luma = sorted(psi, key=lambda each: float(each["value"][1]))
        assert (luma["metric"]["column"], float(luma["value"][1])) == ("luma", pytest.approx(3.0))
        assert float(fps["value"][1]) == pytest.approx(0.5)
        (auc,) = drift["Expected from scores: holds only while they are calibrated"]
        assert (auc["metric"]["metric"], float(auc["value"][1])) == ("auc", pytest.approx(0.9))
        on_fakes = drift["Files with a known label: verdicts on fakes"]
        assert {each["metric"]["verdict"]: float(each["value"][1]) for each in on_fakes} == {
            "likely_real": pytest.approx(2 / 3),
            "likely_fake": pytest.approx(1 / 3),
        }

        def alerts() -> dict[str, str]:
            active = client.get("/api/v1/alerts").json()["data"]["alerts"]
            return {each["labels"]["alertname"]: each["state"] for each in active}

        expected = {
            "TrafficDrifted": "pending",
            **dict.fromkeys(("RetrainingFailed", "FakesMissed", "GenuineCalledFake"), "firing"),
        }
        wait_for(lambda: expected.items() <= alerts().items())
        assert "DriftChecksMissing" not in alerts()
        rules = client.get("/api/v1/rules").json()["data"]["groups"]
        broken = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
        assert broken == []
