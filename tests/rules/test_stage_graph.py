"""dvc.yaml names the code that decides each stage's output, compared with what is really imported."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = "deepfakestream"
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CODE = "${code}/"
READERS = ("data.crop_store", "data.usable_crops", "faces.subjects")
"""Modules that read what earlier stages wrote."""
DECIDE_NOTHING = {
    "data.versioning": "refuses a dataset that data.dvc does not name; reads it otherwise as it is",
    "errors": "words",
    "arrays": "names of types",
    "host": "how files are written and lines are shown, not what they say",
    "sections": "what is set is a dependency of its own: 'params'",
    "monitoring": "says what happened",
    "frozen": "how values are kept",
    "settings": "where things are",
    "sqlite_url": "how addresses of databases are written",
    "telemetry": "what is switched off",
    "pipeline.training_facts": "reads what a training left about itself",
    "pipeline.trigger": "says why a training was started",
    "wiring": "hands on where things are",
    "registry": "records what happened",
}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    graph.remove_module(f"{PACKAGE}.params")  # composes the sections of all packages, and decides nothing
    graph.remove_module(f"{PACKAGE}.api")  # imported by the package itself when it is first used
    return graph


def own_code(stage: str) -> set[str]:
    return {dep.removeprefix(CODE) for dep in STAGES[stage]["deps"] if dep.startswith(CODE)}


def stages_before(stage: str) -> set[str]:
    """Stages whose outputs this one reads, directly or not: what they depend on reaches it through those."""
    outs = {out: name for name, entry in STAGES.items() for out in entry["outs"]}
    before = {outs[dep] for dep in STAGES[stage]["deps"] if dep in outs}
    return before.union(*(stages_before(name) for name in before))


def covered(module: str, code: set[str]) -> bool:
    path = module.removeprefix(f"{PACKAGE}.").replace(".", "/")
    return any(path == one.removesuffix(".py") or path.startswith(f"{one}/") for one in code)


def is_in(module: str, packages: Collection[str]) -> bool:
    name = module.removeprefix(f"{PACKAGE}.")
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_decides_a_stage_makes_it_stale(stage: str, imports: grimp.ImportGraph) -> None:
    entry = f"{PACKAGE}.pipeline.{stage}"
    modules = {entry, *imports.find_upstream_modules(entry)} - {PACKAGE, f"{PACKAGE}.pipeline"}
    code = set().union(*(own_code(name) for name in {stage, *stages_before(stage)}))
    decides = {module for module in modules if not is_in(module, DECIDE_NOTHING)}
    assert {module for module in decides if not covered(module, code)} == set()


@pytest.mark.parametrize(
    ("stage", "readers"),
    [
        ("train", {"data.crop_store", "data.usable_crops", "faces.subjects"}),
        ("evaluate", {"data.crop_store", "faces.subjects"}),
    ],
)
def test_what_reads_an_output_makes_its_reader_stale(
    stage: str, readers: set[str], imports: grimp.ImportGraph
) -> None:
    """Earlier stages may come out as before: it is here that another choice of crops decides."""
    imported = imports.find_upstream_modules(f"{PACKAGE}.pipeline.{stage}")
    assert {reader for reader in READERS if f"{PACKAGE}.{reader}" in imported} == readers
    assert {reader for reader in readers if not covered(f"{PACKAGE}.{reader}", own_code(stage))} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_no_code_that_it_does_not_use(stage: str, imports: grimp.ImportGraph) -> None:
    entry = f"{PACKAGE}.pipeline.{stage}"
    modules = {entry, *imports.find_upstream_modules(entry)}
    for path in own_code(stage):
        assert any(covered(module, {path}) for module in modules), path


def test_nothing_is_written_inside_data() -> None:
    """`data.dvc` tracks the whole of data/; DVC refuses an output inside another's."""
    outs = [out for entry in STAGES.values() for out in entry["outs"]]
    assert all(out.startswith("artifacts/") for out in outs)
    assert len(outs) == len(set(outs))


def test_training_waits_for_the_gate() -> None:
    assert stages_before("train") == {"extract", "validate"}
    assert stages_before("evaluate") == {"extract", "validate", "train"}
