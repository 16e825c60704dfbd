from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from deepfakestream.jobs.tables import open_job_store
from deepfakestream.local.catalogue import FLOWS_READY, evidently_server, service_server
from deepfakestream.service.loop_metrics import LoopMetrics
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.settings import Settings
from deepfakestream.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
RULES: dict[str, Any] = yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())
BOARDS: list[dict[str, Any]] = [
    json.loads(path.read_text()) for path in sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
]
METRIC = re.compile(r"\b(?:deepfakestream|bentoml)_\w+")


@cache
def registered() -> CollectorRegistry:
    """Everything that `/metrics` has a name for."""
    registry = CollectorRegistry()
    ServiceMetrics(registry)
    with TemporaryDirectory() as folder:
        database = open_job_store(f"sqlite:///{folder}/jobs.db")
        loop = LoopMetrics(Settings(workspace=Path(folder)), lambda: database, clock=lambda: 0.0)
        assert list(loop.collect())  # reads the labels, for good
        database.close()
    registry.register(loop)
    return registry


def families() -> set[str]:
    """Names that a query may use: every family, with the suffixes of its kind."""
    registry = registered()
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
    return {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}


def expressions() -> list[tuple[str, str]]:
    rules = [(rule["alert"], rule["expr"]) for group in RULES["groups"] for rule in group["rules"]]
    panels = [
        (panel["title"], target["expr"])
        for board in BOARDS
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    return rules + panels


@pytest.mark.parametrize(("name", "expression"), expressions())
def test_rules_and_panels_ask_for_metrics_that_exist(name, expression):
    assert expression.count("(") == expression.count(")")
    asked = METRIC.findall(re.sub(r'"[^"]*"', "", expression))
    assert set(asked) <= families(), name
    assert asked or "up{" in expression


def test_every_alert_has_its_section_in_the_runbook():
    runbook = (ROOT / "docs" / "MONITORING.md").read_text()
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert f"### {rule['alert']}" in runbook
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"].endswith(".")


def test_every_metric_is_in_the_document():
    document = (ROOT / "docs" / "MONITORING.md").read_text()
    registry = registered()
    names = set(re.findall(r"# TYPE (\w+)", generate_latest(registry).decode()))
    # In BentoML's workers prometheus_client leaves out when a counter began.
    served = {name for name in names if not name.endswith("_created")}
    assert {name for name in served if f"`{name}" not in document} == set()


def test_compose_runs_what_the_local_starter_runs():
    commands = {name: str(service.get("command", "")) for name, service in COMPOSE["services"].items()}
    assert commands["service"] == "deepfakestream serve --port 3000"
    assert urlsplit(service_server(Settings()).live_url).path in str(
        COMPOSE["services"]["service"]["healthcheck"]
    )
    assert "flows.deployments" in commands["flows"]
    local = " ".join(evidently_server(Settings()).command)
    assert commands["evidently"].split(" --host")[0] in local
    assert FLOWS_READY
    for name in ("mlflow", "prefect"):
        assert commands[name].startswith(f"{name} server")


def test_compose_names_only_things_that_exist():
    services, volumes = COMPOSE["services"], COMPOSE["volumes"]
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            assert needed in services, name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or (INFRA / source).is_dir(), name
        for variable in service.get("environment", {}):
            if variable.startswith("DEEPFAKESTREAM_"):
                assert variable.removeprefix("DEEPFAKESTREAM_").lower() in Settings.model_fields, name
    build = services["service"]["build"]
    context = (INFRA / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()


def test_compose_publishes_on_this_machine_only():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_copies_what_is_in_the_repository():
    for line in (INFRA / "images" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source


def test_the_image_switches_off_what_would_phone_home():
    """Servers of MLflow and Prefect start there without our package."""
    text = (INFRA / "images" / "Dockerfile").read_text()
    assert [name for name, value in SWITCHES.items() if f"{name}={value}" not in text.split()] == []


def test_prometheus_scrapes_the_port_of_the_service():
    scrape = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    assert scrape["rule_files"] == ["alerts.yml"]
    (job,) = scrape["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["service:3000"]}]
    assert "--port 3000" in COMPOSE["services"]["service"]["command"]


def test_alerts_reach_a_receiver_by_their_severity():
    prometheus = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    (manager,) = prometheus["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    service = COMPOSE["services"]["alertmanager"]
    assert "./alertmanager:/etc/alertmanager:ro" in service["volumes"]
    assert "127.0.0.1:9093:9093" in service["ports"]
    content = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text())
    routes = [content["route"], *content["route"]["routes"]]
    assert {route["receiver"] for route in routes} == {each["name"] for each in content["receivers"]}
    assert all(each["webhook_configs"][0]["url"] for each in content["receivers"])
    matched = {matcher for route in content["route"]["routes"] for matcher in route["matchers"]}
    severities = {rule["labels"]["severity"] for group in RULES["groups"] for rule in group["rules"]}
    assert matched <= {f'severity="{severity}"' for severity in severities}


def test_every_setting_that_is_put_through_stands_under_its_own_name():
    variables = {
        (name, str(value))
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if "${" in str(value)
    }
    assert variables == {("DEEPFAKESTREAM_ALERT_URLS", "${DEEPFAKESTREAM_ALERT_URLS:-}")}
