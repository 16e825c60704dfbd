from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

import deepfakestream
from deepfakestream.data.versioning.repository import CODE_LINK, DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.params import load_params
from deepfakestream.pipeline import workspace

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(workspace.TEMPLATES))
def test_the_package_carries_the_projects_own_files(name: str) -> None:
    assert workspace.template(name) == (ROOT / name).read_text(encoding="utf-8")


def test_every_template_is_shipped() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"pipeline/templates/*"' in pyproject
    templates = Path(workspace.__file__).parent / "templates"
    assert {path.name for path in templates.iterdir()} == set(workspace.TEMPLATES.values())


def test_the_graph_names_folders_and_verbs_that_exist() -> None:
    graph = yaml.safe_load(workspace.template("dvc.yaml"))
    (variables,) = graph["vars"]
    package = Path(deepfakestream.__file__).parent
    for name, stage in graph["stages"].items():
        assert stage["cmd"] == f"deepfakestream {name}"
        for dependency in stage["deps"]:
            if dependency.startswith("${code}"):
                assert (package / dependency.removeprefix("${code}/")).exists(), dependency
    assert variables == {"code": CODE_LINK}


@pytest.mark.parametrize("name", ["my deepfakes", "it's", "a;b", "$HOME", "?", "-x"])
def test_the_next_command_can_be_pasted_into_a_shell(tmp_path: Path, name: str) -> None:
    report = workspace.WorkspaceReport(
        directory=tmp_path / name, created=[], kept=[], lacks_its_data=False, has_other_graph=False,
        is_in_git=True,
    )  # fmt: skip
    command = report.describe().splitlines()[-1].removeprefix("next: ").partition("; deepfakestream")[0]
    (tmp_path / name).mkdir()
    assert subprocess.check_output([*["sh", "-c"], f"{command}; pwd"], text=True).strip() == str(
        tmp_path / name
    )


@pytest.mark.slow
def test_a_workspace_is_made_once_and_completed_later(tmp_path: Path) -> None:
    report = workspace.create(tmp_path / "deep" / "ws")
    assert "made params.yaml, dvc.yaml" in report.describe()
    assert "deepfakestream ingest SOURCE; dvc repro" in report.describe()
    root = report.directory
    load_params(root / "params.yaml")
    assert (root / CODE_LINK).resolve() == Path(deepfakestream.__file__).parent
    assert DvcRepo(root).exists
    config = (root / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "url = ../work/dvc-remote" in config

    (root / "params.yaml").write_text("mine")
    (root / CODE_LINK).unlink()
    (root / CODE_LINK).symlink_to(tmp_path)
    again = workspace.create(root)
    assert again.created == [CODE_LINK]
    assert (root / "params.yaml").read_text() == "mine"
    assert not again.has_other_graph


@pytest.mark.slow
def test_a_graph_of_another_release_is_told_with_what_to_do(tmp_path: Path) -> None:
    graph = workspace.create(tmp_path).directory / "dvc.yaml"
    graph.write_text(graph.read_text().replace("${code}/faces", "${code}/gone.py"))
    assert "dvc.yaml is not this release's: move it away" in workspace.create(tmp_path).describe()
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"dvc\.yaml .*gone\.py.*deepfakestream init"):
        DvcRepo(tmp_path).repro("extract")
    graph.unlink()
    assert not workspace.create(tmp_path).has_other_graph


def test_a_clone_is_sent_for_its_data(tmp_path: Path) -> None:
    (tmp_path / "data.dvc").write_text("outs:\n- path: data\n")
    assert "deepfakestream data pull; dvc repro" in workspace.create(tmp_path).describe()


def test_a_file_is_no_place_for_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; give a folder"):
        workspace.create(tmp_path / "file")


def test_another_installation_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / CODE_LINK).mkdir(parents=True)
    with pytest.raises(DataError, match="is not the running deepfakestream"):
        workspace.create(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "without_git"), [(".", False), ("tracked", False), ("ignored/ws", True)])
def test_inside_a_git_repository(place: str, without_git: bool, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/ignored/\n")
    root = workspace.create(tmp_path / place).directory
    assert ("no_scm" in (root / ".dvc" / "config").read_text()) == without_git
    (root / "data").mkdir()
    (root / "data" / "item").write_text("x")
    DvcRepo(root).add_data()
    assert (root / "data.dvc").exists()


@pytest.mark.slow
def test_a_workspace_without_git_says_what_that_costs_and_can_get_it_later(tmp_path: Path) -> None:
    report = workspace.create(tmp_path)
    config, ignored = tmp_path / ".dvc" / "config", tmp_path / ".dvc" / ".gitignore"
    assert "not in git" in report.describe()
    assert "no_scm" in config.read_text()
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    again = workspace.create(tmp_path)
    assert "not in git" not in again.describe()
    assert "no_scm" not in config.read_text()
    assert "url = ../work/dvc-remote" in config.read_text()
    listed = subprocess.check_output(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, text=True)
    names = {line[3:] for line in listed.splitlines()}
    assert names == {
        ".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml",
    }  # fmt: skip
    assert ignored.exists()
