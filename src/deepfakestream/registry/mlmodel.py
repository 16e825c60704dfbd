"""The files that make up a registered model, their digest, and MLflow's description of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepfakestream.errors import WeightsError
from deepfakestream.model.folder import ONNX_FILE


def write_mlmodel(directory: Path, *, model_id: str, run_id: str) -> None:
    """Write MLflow's `MLmodel` next to the graph: the ONNX flavour with the graph's own signature.

    `mlflow.onnx.save_model` would do it, but stores the graph again (another digest) and imports pyfunc.

    Args:
        directory: model folder.
        model_id: what MLflow calls the model.
        run_id: id of the MLflow run.

    Raises:
        WeightsError: the graph cannot be read.
    """
    import onnx
    from mlflow.models import Model

    graph, onnx_version = _read_graph(directory / ONNX_FILE), onnx.__version__
    model = Model(signature=_signature(graph), model_id=model_id, run_id=run_id)
    model.add_flavor("python_function", loader_module="mlflow.onnx", data=ONNX_FILE)
    model.add_flavor(
        "onnx", onnx_version=onnx_version, data=ONNX_FILE, providers=["CPUExecutionProvider"], code=None
    )
    model.save(str(directory / "MLmodel"))


def _read_graph(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.load(str(path), load_external_data=False).graph
    except DecodeError as error:
        raise WeightsError(f"{path}: not an ONNX graph; export the model again") from error


def _signature(graph: Any) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    return ModelSignature(
        inputs=Schema([_tensor(value) for value in graph.input]),
        outputs=Schema([_tensor(value) for value in graph.output]),
    )


def _tensor(value: Any) -> Any:
    from mlflow.types import TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type
    shape = tuple(each.dim_value or -1 for each in kind.shape.dim)
    return TensorSpec(tensor_dtype_to_np_dtype(kind.elem_type), shape, value.name)
