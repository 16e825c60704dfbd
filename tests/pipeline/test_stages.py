from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from deepfakestream.errors import DataError, ParamsError
from deepfakestream.pipeline.locks import one_at_a_time
from deepfakestream.pipeline.stages import draw_next_seed, renew, reproduce
from deepfakestream.pipeline.trigger import VARIABLE, Trigger
from deepfakestream.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("seed: 7\n", "seed: 8\n"),
        (
            "# seed: 1\nseed:  99   # of everything\ntrain:\n  seed: 3\n",
            "# seed: 1\nseed:  100   # of everything\ntrain:\n  seed: 3\n",
        ),
    ],
)
def test_the_next_seed_changes_nothing_else(before, after, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(before)
    seed = draw_next_seed(path)
    assert path.read_text() == after
    assert yaml.safe_load(after)["seed"] == seed
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_a_seed_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  seed: 3\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: .*'seed: <number>'"):
        draw_next_seed(path)


@pytest.fixture
def workspace(tmp_path: Path) -> Settings:
    """A DVC repository whose stages append a line to a file outside of DVC's sight."""

    def stage(name: str, needs: list[str]) -> dict[str, object]:
        script = f"mkdir -p artifacts && echo {name} >> runs.txt && echo {name} > artifacts/{name}"
        return {
            "cmd": script,
            "deps": needs,
            "outs": [f"artifacts/{name}"],
            "params": ["seed"] * (name == "train"),
        }

    stages = {"extract": stage("extract", []), "train": stage("train", ["artifacts/extract"])}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    return Settings(workspace=tmp_path)


@pytest.mark.slow
def test_what_dvc_and_the_stage_print_is_heard_and_a_failure_is_still_explained(workspace):
    graph = workspace.workspace / "dvc.yaml"
    stages = yaml.safe_load(graph.read_text())

    def write(command: str) -> None:
        stages["stages"]["extract"]["cmd"] = command
        graph.write_text(yaml.safe_dump(stages))

    heard: list[str] = []
    write("echo epoch 1 >&2 && echo done && mkdir -p artifacts && echo x > artifacts/extract")
    assert reproduce(workspace, "extract", listener=heard.append)
    assert {"epoch 1", "done"} <= set(heard)
    assert any("Running stage 'extract'" in line for line in heard)
    write("echo 'deepfakestream: no faces' >&2 && exit 1")
    with pytest.raises(DataError, match=r"^no faces$"):
        reproduce(workspace, "extract", listener=heard.append)


@pytest.mark.slow
def test_a_retraining_on_unchanged_inputs_makes_another_model(workspace):
    runs = workspace.workspace / "runs.txt"
    assert reproduce(workspace, "train")
    assert not reproduce(workspace, "train")
    assert runs.read_text().split() == ["extract", "train"]
    for stage in ("extract", "train"):
        renew(workspace, stage)
    assert runs.read_text().split() == ["extract", "train", "train"]
    assert (workspace.workspace / "params.yaml").read_text() == "seed: 8\n"
    assert not reproduce(workspace, "train")


class CancelledError(Exception):
    """What the handler of a cancelled flow run raises."""


@pytest.mark.slow
def test_a_cancelled_stage_ends_and_gives_its_locks_back(workspace):
    root = workspace.workspace
    content = yaml.safe_load((root / "dvc.yaml").read_text())
    command = content["stages"]["extract"]["cmd"]
    content["stages"]["extract"]["cmd"] = f"echo $$ > stage.pid && sleep 300 && {command}"
    (root / "dvc.yaml").write_text(yaml.safe_dump(content))

    def cancel(_number, _frame):
        raise CancelledError

    def when_it_runs():
        while not (root / "stage.pid").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, cancel)
    thread = threading.Thread(target=when_it_runs, daemon=True)
    thread.start()
    with pytest.raises(CancelledError):
        reproduce(workspace, "extract")
    thread.join()
    signal.signal(signal.SIGUSR1, before)
    pid = int((root / "stage.pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not any(json.loads((root / ".dvc" / "tmp" / "rwlock").read_text()).values())
    content["stages"]["extract"]["cmd"] = command
    (root / "dvc.yaml").write_text(yaml.safe_dump(content))
    assert reproduce(workspace, "extract")


def test_stages_get_the_settings_of_their_caller(workspace):
    root = workspace.workspace
    settings = workspace.model_copy(update={"experiment": "mine", "retinaface_r50_weights": Path("w.pth")})
    shown = "echo $DEEPFAKESTREAM_EXPERIMENT $DEEPFAKESTREAM_RETINAFACE_R50_WEIGHTS > out"
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"extract": {"cmd": shown, "outs": ["out"]}}}))
    reproduce(settings, "extract")
    assert (root / "out").read_text().split() == ["mine", str(Path("w.pth").resolve())]


def test_stages_get_what_started_them(workspace):
    root = workspace.workspace
    stages = {"extract": {"cmd": f"printenv {VARIABLE} > out", "outs": ["out"]}}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    trigger = Trigger(occasion="drift", reason="p_fake drifted", claim="c1", flow_run_name="calm-otter")
    reproduce(workspace, "extract", trigger)
    assert Trigger.model_validate_json((root / "out").read_text()) == trigger


def test_what_is_not_set_is_not_looked_up_in_a_file_of_the_stage(tmp_path, monkeypatch):
    for name, value in Settings(workspace=tmp_path).variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DEEPFAKESTREAM_TRACKING_URI=http://elsewhere:5000\n")
    assert load_settings() == Settings(workspace=tmp_path)


@pytest.mark.slow
def test_a_retraining_on_changed_inputs_keeps_the_seed(workspace):
    reproduce(workspace, "train")
    (workspace.workspace / "artifacts" / "extract").write_text("other faces\n")
    params = workspace.workspace / "params.yaml"
    params.write_text("seed: 20\n")
    renew(workspace, "train")
    assert params.read_text() == "seed: 20\n"


_HOLD = """
import sys, time
from pathlib import Path
from deepfakestream.pipeline.locks import one_at_a_time
from deepfakestream.settings import Settings
with one_at_a_time(Settings(workspace=Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(0.5)
    Path(sys.argv[1], "released").touch()
"""


def test_processes_wait_for_each_other(tmp_path):
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with one_at_a_time(Settings(workspace=tmp_path)):
            assert (tmp_path / "released").exists()
