"""Nothing phones home: every entry point imports the package, and the package flips the switches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepfakestream.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_after(code: str, **variables: str) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-c", f"{code}; {SHOW}"]
    done = subprocess.run(
        command, env=bare | variables, stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "code", ["import deepfakestream", "import deepfakestream.cli", "import bentos.service"]
)
def test_every_switch_is_off_after_an_import(code: str) -> None:
    found = environment_after(code)
    assert {name: found.get(name) for name in SWITCHES} == SWITCHES


def test_onnx_runtime_keeps_no_events_for_sending(tmp_path: Path) -> None:
    """With its telemetry on, ONNX Runtime writes a database into the user's cache when it is imported."""
    environment_after(
        "from deepfakestream import open_model; open_model(detector='fast')",
        HOME=str(tmp_path),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_who_sets_a_switch_keeps_it() -> None:
    assert environment_after("import deepfakestream", DO_NOT_TRACK="false")["DO_NOT_TRACK"] == "false"


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_in_the_document(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "TECHNICAL_STACK.md").read_text(encoding="utf-8")
