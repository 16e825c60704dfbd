"""A workspace works where it lies now, wherever it was made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils

from deepfakestream.errors import ServerError
from deepfakestream.model.folder import model_sha256
from deepfakestream.registry import versions
from deepfakestream.registry.champion import find_champion, make_champion
from deepfakestream.registry.relocation import follow_workspace
from deepfakestream.registry.store import ensure_experiment, open_client
from deepfakestream.registry.tracking import resume_run, start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

MakeModel = Callable[..., Path]


@pytest.fixture
def run_id(settings: Settings, make_model: MakeModel) -> str:
    """A run with a picture and a champion; nothing is in the cache of fetched models."""
    store = mlflow_store(settings)
    picture = settings.workspace / "faces.png"
    picture.write_bytes(b"faces")
    with start_run(store, name="train", tags={}) as run:
        run.log_artifact(picture)
        make_champion(
            store,
            versions.register(store, run_id=run.run_id, model_dir=make_model("one"), tags={}),
            expected=None,
        )
    return run.run_id


def opened(workspace: Path) -> Settings:
    """As another process does: MLflow keeps the addresses of runs for the life of a process."""
    utils._artifact_repos_cache.clear()
    return Settings(workspace=workspace)


def moved(settings: Settings, target: Path) -> Settings:
    target.parent.mkdir(parents=True, exist_ok=True)
    settings.workspace.rename(target)
    return opened(target)


def restored(settings: Settings, target: Path) -> Settings:
    """A copy next to the workspace, which stays in use."""
    shutil.copytree(settings.workspace, target)
    return opened(target)


@pytest.mark.slow
@pytest.mark.parametrize("move", [moved, restored])
@pytest.mark.parametrize("name", ["elsewhere", "deep/er", "a?b", "workspace2", "50% é"])
def test_files_are_found_and_written_where_the_workspace_lies(
    settings: Settings,
    make_model: MakeModel,
    run_id: str,
    tmp_path: Path,
    move: Callable[[Settings, Path], Settings],
    name: str,
) -> None:
    before = sorted(tmp_path.glob("workspace/work/mlartifacts/**/*"))
    here = move(settings, tmp_path / name)
    store = mlflow_store(here)
    assert model_sha256(find_champion(store).directory) == model_sha256(tmp_path / "one")
    (here.workspace / "more.png").write_bytes(b"more")
    with resume_run(store, run_id=run_id, name="train") as run:
        assert run.run_id == run_id
        run.log_artifact(here.workspace / "more.png")
    assert len(list(here.mlflow_artifacts_dir.rglob("*.png"))) == 2
    with start_run(store, name="train", tags={}) as another:
        version = versions.register(store, run_id=another.run_id, model_dir=make_model("two"), tags={})
    assert versions.fetch(store, version).is_relative_to(here.workspace)
    after = sorted(tmp_path.glob("workspace/work/mlartifacts/**/*"))
    assert after == (before if move is restored else [])


def test_a_workspace_may_be_moved_back_and_forth(settings: Settings, run_id: str, tmp_path: Path) -> None:
    here = settings
    for name in ("a", "b", "workspace"):
        here = moved(here, tmp_path / name)
        assert find_champion(mlflow_store(here)).version == "1"
        shutil.rmtree(here.work_dir / "models")


def test_addresses_that_are_not_of_a_workspace_stay(settings: Settings, run_id: str, tmp_path: Path) -> None:
    client = open_client(mlflow_store(settings))
    places = ["s3://bucket/work/mlartifacts", "mlflow-artifacts:/5", (tmp_path / "mlruns").as_uri()]
    made = [client.create_experiment(f"e{number}", place) for number, place in enumerate(places)]
    client = open_client(mlflow_store(moved(settings, tmp_path / "elsewhere")))
    assert [client.get_experiment(each).artifact_location for each in made] == places


def test_a_store_that_the_settings_name_is_left_alone(
    settings: Settings, run_id: str, tmp_path: Path
) -> None:
    """Several workspaces may share one; its files stay where they are."""
    shared = Settings(
        workspace=tmp_path / "second", tracking_uri=f"sqlite:///{settings.work_dir / 'mlflow.db'}"
    )
    store = mlflow_store(shared)
    experiment = open_client(store).get_experiment(ensure_experiment(open_client(store), store))
    assert experiment.artifact_location == settings.mlflow_artifacts_dir.as_uri()


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    follow_workspace(tmp_path / "none.db", tmp_path / "work" / "mlartifacts")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, but long enough to be read as one" * 10)
    with pytest.raises(ServerError, match=rf"^{tmp_path}/mlflow\.db: "):
        follow_workspace(tmp_path / "mlflow.db", tmp_path / "work" / "mlartifacts")
