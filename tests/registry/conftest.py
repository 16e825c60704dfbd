"""A registry on SQLite, ready in a moment, and a small model folder to register."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from deepfakestream.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path) -> Settings:
    """A workspace whose registry is empty."""
    found = Settings(workspace=tmp_path / "workspace", tracking_uri=None)
    found.work_dir.mkdir(parents=True)
    shutil.copyfile(empty_store, found.work_dir / "mlflow.db")
    return found


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[[str], Path]:
    """Make a model folder; another name gives other weights."""

    def make(name: str = "model") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        graph = helper.make_graph(
            [helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[1, 2, 3], keepdims=0)],
            name,
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
        (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        (directory / "model.safetensors").write_bytes(name.encode())
        (directory / "spec.json").write_text("{}")
        return directory

    return make
