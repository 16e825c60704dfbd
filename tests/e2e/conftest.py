"""The demo's first run, made once: tests of the demo and of what comes after it begin there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.demo.facts import Facts
from infra.demo.walkthrough import SUMMARY_FILE

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1500.0


@dataclass(frozen=True)
class Outcome:
    facts: Facts
    output: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the demo in a folder, on ports that are free."""
    ports = {
        f"DEEPFAKESTREAM_{name}_PORT": str(free_port())
        for name in ("MLFLOW", "PREFECT", "SERVICE", "EVIDENTLY")
    } | environment
    command = [sys.executable, "-m", "infra.demo", "--directory", str(folder)]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | ports, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_demo(folder: Path) -> Outcome:
    """Run the demo in a folder to its end."""
    with start(folder) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, f"{output}\n{errors}"
    facts = Facts.model_validate_json((folder / SUMMARY_FILE).read_text())
    return Outcome(facts, output)


@pytest.fixture(scope="session")
def start_demo() -> Callable[..., subprocess.Popen[str]]:
    return start


@pytest.fixture(scope="session")
def demo() -> Callable[[Path], Outcome]:
    return run_demo


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, sample_media: Path) -> Path:
    return tmp_path_factory.mktemp("e2e") / "demo"


@pytest.fixture(scope="session")
def first(folder: Path) -> Outcome:
    return run_demo(folder)
