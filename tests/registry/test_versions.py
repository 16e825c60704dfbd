from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepfakestream.errors import DataError, GateError, WeightsError
from deepfakestream.model.folder import model_sha256
from deepfakestream.registry import champion, versions
from deepfakestream.registry.store import ensure_experiment, open_client
from deepfakestream.registry.tracking import start_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

MakeModel = Callable[..., Path]


def _register(settings: Settings, model_dir: Path, **more: object) -> int:
    with start_run(mlflow_store(settings), name="train", tags={}) as run:
        return versions.register(
            mlflow_store(settings), run_id=run.run_id, model_dir=model_dir, tags={"git_commit": "abc"}, **more
        )  # type: ignore[arg-type]


def _logged_models(settings: Settings) -> list[Any]:
    client = open_client(mlflow_store(settings))
    return list(
        client.search_logged_models(experiment_ids=[ensure_experiment(client, mlflow_store(settings))])
    )


class TestRegister:
    @pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "spec.json"])
    def test_incomplete_folder_registers_nothing(
        self, settings: Settings, make_model: MakeModel, name: str
    ) -> None:
        model_dir = make_model()
        (model_dir / name).unlink()
        with pytest.raises(WeightsError, match=f"{name}: missing"):
            _register(settings, model_dir)
        assert open_client(mlflow_store(settings)).search_registered_models() == []

    def test_no_graph(self, settings: Settings, make_model: MakeModel) -> None:
        model_dir = make_model()
        (model_dir / "model.onnx").write_bytes(b"\xff no graph")
        with pytest.raises(WeightsError, match=r"model\.onnx: "):
            _register(settings, model_dir)
        client = open_client(mlflow_store(settings))
        assert client.search_model_versions(f"name = '{settings.registered_model}'") == []
        (left,) = _logged_models(settings)
        assert left.status == "FAILED"

    def test_numbers_count_up_and_say_where_they_come_from(
        self, settings: Settings, make_model: MakeModel
    ) -> None:
        numbers = [_register(settings, make_model(name), description="In words.") for name in ("one", "two")]
        assert numbers == [1, 2]
        found = versions.get_version(mlflow_store(settings), 2)
        assert found.tags == {
            "git_commit": "abc",
            "model_sha256": model_sha256(settings.workspace.parent / "two"),
        }
        assert found.run_id is not None
        client = open_client(mlflow_store(settings))
        assert client.get_model_version(settings.registered_model, "2").description == "In words."
        assert "champion" in client.get_registered_model(settings.registered_model).description

    def test_page_shows_signature_files_and_metrics(self, settings: Settings, make_model: MakeModel) -> None:
        from mlflow.models import Model

        reference = settings.workspace / "r.parquet"
        reference.write_bytes(b"rows")
        _register(
            settings, make_model(), attachments={"reference.parquet": reference}, metrics={"test_auc": 0.9}
        )
        (model,) = _logged_models(settings)
        assert [(metric.key, metric.value) for metric in model.metrics] == [("test_auc", 0.9)]
        folder = versions.fetch(mlflow_store(settings), 1)
        assert {"MLmodel", "model.onnx", "model.safetensors", "reference.parquet", "spec.json"} <= {
            path.name for path in folder.iterdir()
        }
        model = Model.load(str(folder))
        assert model.signature.inputs.input_names() == ["media"]
        assert model.signature.outputs.input_names()[:2] == ["verdict", "p_fake"]
        assert set(model.flavors) == {"onnx", "python_function"}
        assert model.load_input_example(str(folder))["media"][0].startswith(b"\xff\xd8")
        assert list(folder.rglob("*.pkl")) == []
        assert "deepfakestream==" in (folder / "requirements.txt").read_text()

    def test_same_files_are_found_again(self, settings: Settings, make_model: MakeModel) -> None:
        one, other = make_model("one"), make_model("other")
        assert versions.find_version(mlflow_store(settings), model_dir=one) is None
        _register(settings, one)
        assert versions.find_version(mlflow_store(settings), model_dir=one) == 1
        assert versions.find_version(mlflow_store(settings), model_dir=other) is None
        (one / "spec.json").write_text('{"calibration": 2}')  # same weights, other verdicts
        assert versions.find_version(mlflow_store(settings), model_dir=one) is None


class TestAliases:
    def test_nothing_registered(self, settings: Settings) -> None:
        assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) is None

    def test_set_move_remove(self, settings: Settings, make_model: MakeModel) -> None:
        for name in ("one", "two"):
            _register(settings, make_model(name))
        assert versions.get_alias(mlflow_store(settings), "challenger") is None
        for target in (1, 2, None):
            versions.set_alias(mlflow_store(settings), "challenger", target)
            assert versions.get_alias(mlflow_store(settings), "challenger") == target

    def test_unknown_version(self, settings: Settings, make_model: MakeModel) -> None:
        _register(settings, make_model())
        with pytest.raises(DataError, match="version 9"):
            versions.get_version(mlflow_store(settings), 9)


class TestChampion:
    def test_first_second_and_back(self, settings: Settings, make_model: MakeModel) -> None:
        for name in ("one", "two"):
            _register(settings, make_model(name))
        versions.set_alias(mlflow_store(settings), versions.CHALLENGER, 1)
        champion.make_champion(mlflow_store(settings), 1, expected=None)
        assert versions.get_alias(mlflow_store(settings), versions.CHALLENGER) is None
        assert versions.get_alias(mlflow_store(settings), versions.PREVIOUS) is None
        champion.make_champion(mlflow_store(settings), 2, expected=1)
        assert versions.get_alias(mlflow_store(settings), versions.PREVIOUS) == 1
        assert versions.get_version(mlflow_store(settings), 2).tags["previous_champion"] == "1"
        assert champion.rollback_target(mlflow_store(settings), 2) == 1

    def test_champion_again_changes_nothing(self, settings: Settings, make_model: MakeModel) -> None:
        _register(settings, make_model())
        champion.make_champion(mlflow_store(settings), 1, expected=None)
        champion.make_champion(mlflow_store(settings), 1, expected=1)
        assert versions.get_alias(mlflow_store(settings), versions.PREVIOUS) is None

    def test_another_was_faster(self, settings: Settings, make_model: MakeModel) -> None:
        for name in ("one", "two"):
            _register(settings, make_model(name))
        champion.make_champion(mlflow_store(settings), 1, expected=None)
        with pytest.raises(GateError, match=r"\b1\b.*\b2\b"):
            champion.make_champion(mlflow_store(settings), 2, expected=None)
        assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) == 1

    def test_nothing_to_go_back_to(self, settings: Settings) -> None:
        with pytest.raises(GateError, match="no previous champion"):
            champion.rollback_target(mlflow_store(settings), None)


class TestList:
    def test_nothing(self, settings: Settings) -> None:
        assert versions.list_versions(mlflow_store(settings)) == []

    def test_versions_with_aliases_and_metrics(self, settings: Settings, make_model: MakeModel) -> None:
        for name in ("one", "two"):
            _register(settings, make_model(name), metrics={"test_auc": 0.75})
        champion.make_champion(mlflow_store(settings), 2, expected=None)
        found = versions.list_versions(mlflow_store(settings))
        assert [(one.number, one.aliases) for one in found] == [(1, ()), (2, ("champion",))]
        assert versions.read_metrics(mlflow_store(settings), 1) == {"test_auc": 0.75}


class TestAttachments:
    def test_one_file(self, settings: Settings, make_model: MakeModel, tmp_path: Path) -> None:
        path = tmp_path / "metrics.json"
        path.write_text("{}")
        _register(settings, make_model(), attachments={"metrics.json": path})
        assert versions.read_attachment(mlflow_store(settings), 1, "metrics.json") == b"{}"

    def test_none(self, settings: Settings, make_model: MakeModel) -> None:
        _register(settings, make_model())
        with pytest.raises(DataError, match=r"metrics\.json"):
            versions.read_attachment(mlflow_store(settings), 1, "metrics.json")


class TestFetch:
    def test_unknown_version(self, settings: Settings) -> None:
        with pytest.raises(DataError, match="version 1"):
            versions.fetch(mlflow_store(settings), 1)

    def test_once(self, settings: Settings, make_model: MakeModel) -> None:
        model_dir = make_model()
        _register(settings, model_dir)
        folder = versions.fetch(mlflow_store(settings), 1)
        assert folder.name == f"1-{model_sha256(model_dir)[:12]}"
        before = (folder / "model.onnx").stat().st_ino
        assert versions.fetch(mlflow_store(settings), 1) == folder
        assert (folder / "model.onnx").stat().st_ino == before

    @pytest.mark.parametrize("damage", ["changed", "missing"])
    def test_damaged_copy_is_replaced(self, settings: Settings, make_model: MakeModel, damage: str) -> None:
        _register(settings, make_model())
        folder = versions.fetch(mlflow_store(settings), 1)
        if damage == "changed":
            (folder / "model.onnx").write_bytes(b"x")
        else:
            (folder / "model.onnx").unlink()
        digest = versions.get_version(mlflow_store(settings), 1).tags["model_sha256"]
        assert model_sha256(versions.fetch(mlflow_store(settings), 1)) == digest
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    def test_other_files_than_registered(self, settings: Settings, make_model: MakeModel) -> None:
        _register(settings, make_model())
        (stored,) = settings.mlflow_artifacts_dir.rglob("model.safetensors")
        stored.write_bytes(b"tampered")
        with pytest.raises(WeightsError, match="its files are not those registered"):
            versions.fetch(mlflow_store(settings), 1)
        assert list((settings.work_dir / "models").iterdir()) == []

    def test_files_are_gone(self, settings: Settings, make_model: MakeModel) -> None:
        _register(settings, make_model())
        (stored,) = settings.mlflow_artifacts_dir.rglob("model.onnx")
        stored.unlink()
        with pytest.raises(WeightsError, match=r"model\.onnx: missing"):
            versions.fetch(mlflow_store(settings), 1)
        assert list((settings.work_dir / "models").iterdir()) == []
