from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deepfakestream.registry.lineage import LINEAGE, git_commit, lineage_tags
from deepfakestream.settings import Settings

COMMIT = "a" * 40


def _git_dir(root: Path, *, head: str) -> Path:
    git_dir = root / ".git"
    git_dir.mkdir(parents=True)
    (git_dir / "HEAD").write_text(head + "\n")
    return git_dir


class TestGitCommit:
    def test_no_repository(self, tmp_path: Path) -> None:
        assert git_commit(tmp_path) is None

    def test_no_commit_yet(self, tmp_path: Path) -> None:
        _git_dir(tmp_path, head="ref: refs/heads/main")
        assert git_commit(tmp_path) is None

    def test_empty_head(self, tmp_path: Path) -> None:
        _git_dir(tmp_path, head="")
        assert git_commit(tmp_path) is None

    def test_detached(self, tmp_path: Path) -> None:
        _git_dir(tmp_path, head=COMMIT)
        assert git_commit(tmp_path) == COMMIT

    def test_branch_from_a_folder_below(self, tmp_path: Path) -> None:
        git_dir = _git_dir(tmp_path, head="ref: refs/heads/topic/x")
        (git_dir / "refs/heads/topic").mkdir(parents=True)
        (git_dir / "refs/heads/topic/x").write_text(COMMIT + "\n")
        (tmp_path / "a" / "b").mkdir(parents=True)
        assert git_commit(tmp_path / "a" / "b") == COMMIT

    def test_packed(self, tmp_path: Path) -> None:
        git_dir = _git_dir(tmp_path, head="ref: refs/heads/main")
        (git_dir / "packed-refs").write_text(
            f"# pack-refs with: peeled\n{'b' * 40} refs/heads/mainline\n{COMMIT} refs/heads/main\n"
        )
        assert git_commit(tmp_path) == COMMIT

    @pytest.mark.parametrize("as_worktree", [False, True])
    def test_same_as_git(self, tmp_path: Path, *, as_worktree: bool) -> None:
        root = tmp_path / "repo"
        root.mkdir()
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]

        def git(*arguments: str) -> str:
            command = ["git", "-C", str(root), *identity, *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

        git("init", "--quiet")
        git("commit", "--quiet", "--allow-empty", "-m", "first")
        if as_worktree:
            git("worktree", "add", "--quiet", str(tmp_path / "other"))
        assert git_commit(tmp_path / "other" if as_worktree else root) == git("rev-parse", "HEAD")


class TestTags:
    def test_empty_workspace(self, tmp_path: Path) -> None:
        tags = lineage_tags(Settings(workspace=tmp_path))
        assert tuple(tags) == LINEAGE
        assert [tags[name] for name in LINEAGE[:3]] == ["unknown"] * 3

    def test_comments_in_params_change_nothing_values_do(self, tmp_path: Path) -> None:
        path, digests = tmp_path / "params.yaml", []
        for text in ("a: 1\nb: 2\n", "b: 2  # two\na: 1\n", "a: 1\nb: 3\n"):
            path.write_text(text)
            digests.append(lineage_tags(Settings(workspace=tmp_path))["params_sha256"])
        assert digests[0] == digests[1] != digests[2]

    def test_data_version(self, tmp_path: Path) -> None:
        (tmp_path / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
        assert lineage_tags(Settings(workspace=tmp_path))["dvc_data_md5"] == "abc.dir"
