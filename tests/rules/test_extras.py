"""Each extra declares exactly what the commands that need it import."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import grimp
import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deepfakestream.cli.app import app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OURS = ("deepfakestream", "flows", "bentos")
STARTS = {
    "base": (
        "deepfakestream.api",
        "deepfakestream.scanning.command",
        "deepfakestream.params",
        "deepfakestream.settings",
        "deepfakestream.cli.output",
    ),
    "serve": (
        "bentos.service",
        "deepfakestream.service.work",
        "deepfakestream.service.scan_process",
        "deepfakestream.local.servers",
        "deepfakestream.local.running_record",
        "deepfakestream.cli.keys",
        "deepfakestream.monitoring.prediction_export",
    ),
    "explain": ("deepfakestream.explain.command",),
    "pipeline": (
        *(
            f"deepfakestream.pipeline.{step}"
            for step in (
                "workspace", "ingest", "extract", "validate", "evaluate", "promote", "drift", "data_stats",
                "forget", "from_feedback", "transfer", "requeue", "drop",
            )
        ),
        "deepfakestream.registry.champion",
        "deepfakestream.cli.alerts",
        "deepfakestream.local.drift_pages",
        "deepfakestream.local.status",
        "flows.deployments",
        "flows.drift",
        "flows.ingest",
        "flows.retrain",
        "flows.watch",
    ),
    "train": tuple(f"deepfakestream.pipeline.{step}" for step in ("train", "search", "ablate")),
    "retinaface": ("deepfakestream.faces.retinaface_r50",),
    "ray": ("deepfakestream.data.extraction.executors.ray_cluster",),
}  # fmt: skip
"""Where the commands of each extra begin."""
NOT_FOLLOWED = {
    ("deepfakestream.host.device", "torch"): "gpu",
    ("deepfakestream.model.scorer", "torch"): "gpu",
    ("deepfakestream.model.scorer", "deepfakestream.model.files"): "gpu",
    ("deepfakestream.model.fused", "torch"): "gpu",
    ("deepfakestream.model.fused", "deepfakestream.model.network"): "gpu",
    ("deepfakestream.model.fused", "deepfakestream.model.tower.network"): "gpu",
    ("deepfakestream.faces.detectors", "deepfakestream.faces.retinaface_r50"): "retinaface",
    ("deepfakestream.data.extraction.executors.ray_cluster", "ray"): "ray",
    ("deepfakestream.service.scan_process", "deepfakestream.explain.command"): "explain",
    ("deepfakestream.monitoring.alert_channels", "apprise"): "pipeline",
    ("deepfakestream.monitoring.alert_channels", "apprise.plugins.custom_json"): "pipeline",
}
"""Imports inside a function that other commands do without, and what needs them."""
AT_RUN_TIME = {
    "dvc-s3": "dvc imports it for addresses that begin with s3:",
    "nvidia-ml-py": "mlflow imports it to watch a GPU",
    "psycopg": "sqlalchemy imports it for addresses that begin with postgresql:",
    "torchvision": "timm and retinaface-pytorch import it",
}
"""Declared and imported by others, or under a name that is not the package's."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True, exclude_type_checking_imports=True)


def imported(graph: grimp.ImportGraph, providers: Mapping[str, list[str]], extra: str) -> list[set[str]]:
    """For each module of others that the code of an extra imports: the packages that have it."""
    seen: set[str] = set()
    outside: set[str] = set()
    waiting = list(STARTS[extra])
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for other in graph.find_modules_directly_imported_by(module):
            if NOT_FOLLOWED.get((module, other), extra) != extra or other in {"deepfakestream", *seen}:
                continue
            top = other.split(".")[0]
            if top in OURS:
                waiting.append(other)
            elif top not in sys.stdlib_module_names:
                outside.add(top)
    return [{canonicalize_name(one) for one in providers.get(name, [name])} for name in sorted(outside)]


def declared(extra: str) -> set[str]:
    names: set[str] = set()
    for line in EXTRAS[extra] if extra != "base" else PROJECT["dependencies"]:
        one = Requirement(line)
        if one.name == PROJECT["name"]:
            names = names.union(*(declared(each) for each in one.extras))
        else:
            names.add(canonicalize_name(one.name))
    return names


@pytest.mark.parametrize("extra", STARTS)
def test_an_extra_has_what_its_code_imports(
    graph: grimp.ImportGraph, providers: Mapping[str, list[str]], extra: str
) -> None:
    provided = declared(extra) | declared("base")
    assert [packages for packages in imported(graph, providers, extra) if not packages & provided] == []


@pytest.mark.parametrize("extra", STARTS)
def test_an_extra_has_nothing_that_its_code_does_not_import(
    graph: grimp.ImportGraph, providers: Mapping[str, list[str]], extra: str
) -> None:
    own = declared(extra) - (declared("pipeline") if extra == "train" else set())
    assert own - set().union(*imported(graph, providers, extra)) - AT_RUN_TIME.keys() == set()


def test_each_command_names_extras_that_exist() -> None:
    known = EXTRAS.keys() - {"dev"}
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    commands = [
        command.callback for group in groups if isinstance(group, typer.Typer)
        for command in group.registered_commands
    ]  # fmt: skip
    needing = {getattr(command, "__name__", ""): getattr(command, "extras", ()) for command in commands}
    assert {name for name, extras in needing.items() if not extras} == {"scan", "fetch_model"}
    assert {extra for extras in needing.values() for extra in extras} <= known
