"""The wheel in an environment that has the packages of the base and nothing else, as pip would leave it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepfakestream import open_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MAX_BYTES = 1_000_000_000
PIPELINE, TRAIN, SERVE = "pipeline", "train", "serve"
VERBS = {
    "scan": None, "model fetch": None, "explain face.jpg": "explain",
    "init new": PIPELINE, "ingest folder": PIPELINE,
    "extract": PIPELINE, "validate": PIPELINE, "train": TRAIN, "search": TRAIN, "ablate": TRAIN,
    "evaluate": PIPELINE, "promote": PIPELINE, "rollback --reason x": PIPELINE, "serve": SERVE, "work": SERVE,
    "drift": PIPELINE, "retrain": TRAIN, "up": SERVE, "data stats": PIPELINE, "data push": PIPELINE,
    "data quarantine list": None, "keys list": SERVE,
}  # fmt: skip
"""Each command, and an extra without which it does not run; None: it runs with the base."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel and the base."""

    folder: Path
    workspace: Path

    @property
    def site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["XDG_CACHE_HOME"] = str(self.workspace)
        return subprocess.run(
            [self.folder / "bin" / "python", *arguments],
            env=environment, cwd=self.workspace, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip

    def command(self, line: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "deepfakestream.cli", *line.split())


@pytest.fixture(scope="module")
def environment(
    wheel: Path, make_environment: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with the base and the wheel."""
    folder, workspace = tmp_path_factory.mktemp("installed") / "venv", tmp_path_factory.mktemp("workspace")
    make_environment(folder, requirements=ROOT / "infra" / "locks" / "scan.lock", wheel=wheel)
    made = Environment(folder, workspace)
    shutil.copy2(ROOT / "params.yaml", workspace / "params.yaml")
    return made


def test_the_base_is_small(environment: Environment) -> None:
    size = sum(path.stat().st_size for path in environment.site_packages.rglob("*") if path.is_file())
    assert size < MAX_BYTES


def test_a_scan_gives_the_same_score_as_here(environment: Environment, astronaut_jpg: Path) -> None:
    done = environment.command(f"scan --json {astronaut_jpg}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["p_fake"] == pytest.approx(
        open_model(detector="fast").scan(astronaut_jpg).p_fake, abs=1e-6
    )


@pytest.mark.parametrize("line", VERBS)
def test_every_command_has_help(environment: Environment, line: str) -> None:
    verb = re.sub(r" (face\.jpg|new|folder|--reason x)$", "", line)
    done = environment.command(f"{verb} --help")
    assert (done.returncode, "Usage" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(("line", "extra"), [(line, extra) for line, extra in VERBS.items() if extra])
def test_a_command_without_its_extra_names_it_in_one_line(
    environment: Environment, line: str, extra: str
) -> None:
    done = environment.command(line)
    assert done.returncode == 1
    found = re.fullmatch(r"deepfakestream: .*pip install 'deepfakestream\[([a-z,]+)\]'", done.stderr.strip())
    assert found, done.stderr
    assert extra in found[1].split(",")


def test_the_example_of_the_readme_runs(
    environment: Environment, astronaut_jpg: Path, face_clip: Path
) -> None:
    shutil.copy2(astronaut_jpg, environment.workspace / "face.jpg")
    shutil.copy2(face_clip, environment.workspace / "clip.mp4")
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    done = environment.python("-c", example)
    assert done.returncode == 0, done.stderr
    assert "clip.mp4" in done.stdout


def test_what_the_extras_bring_is_not_there(environment: Environment) -> None:
    names = ("torch", "mlflow", "prefect", "dvc", "bentoml", "pandas", "great_expectations", "evidently")
    code = f"import importlib.util as u; print(*(n for n in {names} if u.find_spec(n)))"
    assert environment.python("-c", code).stdout.split() == []
