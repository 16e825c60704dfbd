"""One word a step, the same everywhere: command, parameters, module, stage, artifacts, flow, document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
import yaml

from deepfakestream.cli import app
from deepfakestream.params import Params

ROOT = Path(__file__).parents[2]
STEPS = ("ingest", "extract", "validate", "train", "evaluate", "promote", "serve", "drift", "retrain")
STAGES = ("extract", "validate", "train", "evaluate")
NOT_STEPS = {
    *("scan", "explain", "init", "up", "data", "search", "ablate", "rollback", "work", "keys", "model"),
    *("models", "alerts", "status", "down", "audit", "lineage", "log"),
}
FLOWS = {"ingest", "train", "drift", "retrain"}
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def commands() -> set[str]:
    return set(typer.main.get_command(app).commands)


def test_the_command_line_has_a_verb_for_each_step_and_few_others() -> None:
    assert commands() == {*STEPS, *NOT_STEPS}


def test_params_have_a_section_for_each_step_and_the_seed() -> None:
    sections = list(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    assert sections == ["seed", *STEPS]
    assert [field.alias or name for name, field in Params.model_fields.items()] == sections


@pytest.mark.parametrize("step", [step for step in STEPS if step != "serve"])
def test_each_step_is_one_module_of_the_pipeline(step: str) -> None:
    assert (ROOT / "src" / "deepfakestream" / "pipeline" / f"{step}.py").is_file()


def test_the_stage_graph_holds_the_cached_steps_in_their_order() -> None:
    assert tuple(GRAPH["stages"]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_verb_with_its_section_and_writes_to_its_folder(stage: str) -> None:
    entry = GRAPH["stages"][stage]
    assert entry["cmd"] == f"deepfakestream {stage}"
    assert set(entry["params"]) - {"seed"} == {stage}
    for out in entry["outs"]:
        assert out == f"artifacts/{stage}" or out.startswith(f"artifacts/{stage}/")


def test_each_flow_is_named_as_the_step_that_it_starts_with() -> None:
    modules = {path.stem for path in (ROOT / "flows").glob("*.py")} - {
        "__init__",
        "deployments",
        "run_page",
        "schedules",
        "started",
        "watch",
        "workspace",
    }
    assert modules == FLOWS
    assert set(STEPS) >= FLOWS


HOUSE_WORDS = re.compile(r"\b(?:told|anew|beside|whoever|worn|knock)\b", re.IGNORECASE)
"""Words that this code base used in place of plain ones."""
SOURCES = sorted(path for part in ("src", "flows", "bentos", "infra") for path in (ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_and_messages_use_plain_words(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.strip() for line in lines if HOUSE_WORDS.search(line)] == []
