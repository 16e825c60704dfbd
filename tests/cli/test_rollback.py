"""`deepfakestream rollback`: the way back from a champion, in one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepfakestream.cli import app
from deepfakestream.errors import GateError, ParamsError
from deepfakestream.registry import champion, versions
from deepfakestream.registry.store import open_client
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A workspace whose registry is empty; the command line works in it."""
    found = Settings(workspace=tmp_path, tracking_uri=None)
    found.work_dir.mkdir()
    shutil.copyfile(empty_store, found.work_dir / "mlflow.db")
    shutil.copyfile(REPOSITORY / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(tmp_path))
    return found


def test_the_champion_before_is_champion_again(settings: Settings) -> None:
    client = open_client(mlflow_store(settings))
    client.create_registered_model(settings.registered_model)
    for _ in range(2):
        client.create_model_version(settings.registered_model, source=str(settings.work_dir))
    champion.make_champion(mlflow_store(settings), 1, expected=None)
    champion.make_champion(mlflow_store(settings), 2, expected=1)
    done = CliRunner().invoke(app, ["rollback"])
    assert done.stdout == "rollback: version 1 of deepfakestream-detector is champion again\n"
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) == 1
    assert versions.get_alias(mlflow_store(settings), versions.PREVIOUS) == 2


def test_without_a_champion_before_nothing_moves(settings: Settings) -> None:
    failed = CliRunner().invoke(app, ["rollback"]).exception
    assert isinstance(failed, GateError)
    assert "no previous champion to go back to" in str(failed)


def test_outside_a_workspace_no_registry_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(tmp_path))
    assert isinstance(CliRunner().invoke(app, ["rollback"]).exception, ParamsError)
    assert list(tmp_path.iterdir()) == []
