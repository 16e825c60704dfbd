from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deepfakestream.host.git import ask_git

HEAD = ("rev-parse", "--verify", "HEAD")


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_outside_a_repository_there_is_no_answer(tmp_path: Path) -> None:
    assert ask_git(tmp_path, *HEAD) is None


def test_before_the_first_commit_there_is_no_answer(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert ask_git(tmp_path, *HEAD) is None


def test_without_the_program_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_git(tmp_path, *HEAD) is None


@pytest.mark.parametrize("as_worktree", [False, True])
def test_the_commit_is_found_from_a_folder_below(tmp_path: Path, *, as_worktree: bool) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "first")
    if as_worktree:
        git(root, "worktree", "add", "--quiet", str(tmp_path / "other"))
    folder = (tmp_path / "other" if as_worktree else root) / "a" / "b"
    folder.mkdir(parents=True)
    assert ask_git(folder, *HEAD) == git(root, "rev-parse", "HEAD")
