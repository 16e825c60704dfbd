from __future__ import annotations

from pathlib import Path

from deepfakestream.registry.lineage import LINEAGE, lineage_tags
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


class TestTags:
    def test_empty_workspace(self, tmp_path: Path) -> None:
        tags = lineage_tags(mlflow_store(Settings(workspace=tmp_path)))
        assert tuple(tags) == LINEAGE
        assert [tags[name] for name in LINEAGE[:3]] == ["unknown"] * 3

    def test_comments_in_params_change_nothing_values_do(self, tmp_path: Path) -> None:
        path, digests = tmp_path / "params.yaml", []
        for text in ("a: 1\nb: 2\n", "b: 2  # two\na: 1\n", "a: 1\nb: 3\n"):
            path.write_text(text)
            digests.append(lineage_tags(mlflow_store(Settings(workspace=tmp_path)))["params_sha256"])
        assert digests[0] == digests[1] != digests[2]

    def test_data_version(self, tmp_path: Path) -> None:
        (tmp_path / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data\n")
        assert lineage_tags(mlflow_store(Settings(workspace=tmp_path)))["dvc_data_md5"] == "abc.dir"
