"""The files that make up a registered model, their digest, and MLflow's description of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from deepfakestream.errors import WeightsError
from deepfakestream.media.digest import sha256_file
from deepfakestream.model.folder import CARD_FILE, ONNX_FILE, WEIGHTS_FILE
from deepfakestream.model.spec import SPEC_FILE

REQUIRED = (WEIGHTS_FILE, ONNX_FILE, SPEC_FILE)
"""What decides a score; the digest covers exactly these."""
OPTIONAL = (CARD_FILE, "history.json")


def model_files(directory: Path) -> dict[str, Path]:
    """Return the files of a model folder that are registered, by name.

    Raises:
        WeightsError: one that every model needs is missing.
    """
    for name in REQUIRED:
        if not (directory / name).is_file():
            raise WeightsError(
                f"{directory / name}: missing; a model folder holds {', '.join(REQUIRED)}: train again"
            )
    present = (directory / name for name in OPTIONAL)
    return {name: directory / name for name in REQUIRED} | {
        path.name: path for path in present if path.is_file()
    }


def model_sha256(directory: Path) -> str:
    """Return one digest over the files that decide a score: weights, graph and spec.

    Raises:
        WeightsError: one of them is missing.
    """
    files = model_files(directory)
    digest = hashlib.sha256()
    for name in REQUIRED:
        digest.update(f"{name}:{sha256_file(files[name])}\n".encode())
    return digest.hexdigest()


def write_mlmodel(directory: Path, *, model_id: str, run_id: str) -> None:
    """Write MLflow's `MLmodel` beside the graph: the ONNX flavour with the graph's own signature.

    `mlflow.onnx.save_model` would do it, but stores the graph anew (another digest) and imports pyfunc.

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
