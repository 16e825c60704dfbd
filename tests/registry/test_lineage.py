from __future__ import annotations

import subprocess
from pathlib import Path

from deepfakestream.host.code_identity import own_code
from deepfakestream.host.git import ask_git
from deepfakestream.registry.lineage import LINEAGE, lineage_tags
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


class TestTags:
    def test_empty_workspace(self, tmp_path: Path) -> None:
        tags = lineage_tags(mlflow_store(Settings(workspace=tmp_path)))
        assert tuple(tags) == LINEAGE
        outside = ("dvc_data_md5", "params_sha256", "workspace_commit")
        assert [tags[name] for name in outside] == ["unknown"] * 3
        assert tags["code_sha256"] == own_code().sha256

    def test_the_commit_of_the_workspace_is_not_that_of_the_code(self, tmp_path: Path) -> None:
        git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "workspace"], check=True)
        tags = lineage_tags(mlflow_store(Settings(workspace=tmp_path)))
        assert tags["workspace_commit"] == ask_git(tmp_path, "rev-parse", "HEAD")
        assert tags["code_commit"] == (own_code().commit or "unknown") != tags["workspace_commit"]

    def test_comments_in_params_change_nothing_values_do(self, tmp_path: Path) -> None:
        path, digests = tmp_path / "params.yaml", []
        for text in ("a: 1\nb: 2\n", "b: 2  # two\na: 1\n", "a: 1\nb: 3\n"):
            path.write_text(text)
            digests.append(lineage_tags(mlflow_store(Settings(workspace=tmp_path)))["params_sha256"])
        assert digests[0] == digests[1] != digests[2]

    def test_data_version(self, tmp_path: Path) -> None:
        (tmp_path / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
        assert lineage_tags(mlflow_store(Settings(workspace=tmp_path)))["dvc_data_md5"] == "abc.dir"
