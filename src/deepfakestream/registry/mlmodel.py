"""MLflow's files of a registered model, which its own commands read: description, requirements, example."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from deepfakestream.errors import WeightsError
from deepfakestream.model.folder import ONNX_FILE
from deepfakestream.registry import served


def write_mlmodel(directory: Path, model_dir: Path, *, model_id: str, run_id: str) -> None:
    """Write MLflow's files of a model into an empty folder, which the files of the model are copied to after.

    The Python flavour maps whole files to verdicts. The ONNX flavour is the bare network, pixels to logits;
    a tuned tower has none, because its graph holds no weights.

    Args:
        directory: empty folder.
        model_dir: model folder.
        model_id: what MLflow calls the model.
        run_id: id of the MLflow run.

    Raises:
        WeightsError: the graph cannot be read.
    """
    import onnx
    import pandas as pd
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from PIL import Image

    with warnings.catch_warnings():  # MLflow warns of type hints of its own chat models
        warnings.filterwarnings("ignore", ".*Any type hint", UserWarning)
        import mlflow.pyfunc
        from mlflow.models import Model

    graph = model_dir / ONNX_FILE
    try:
        weights = onnx.load(str(graph), load_external_data=False).graph.initializer
    except DecodeError as error:
        raise WeightsError(f"{graph}: not an ONNX graph; export the model again") from error
    model = Model(model_id=model_id, run_id=run_id)
    if not any(each.data_location == onnx.TensorProto.EXTERNAL for each in weights):
        model.add_flavor(
            "onnx",
            onnx_version=onnx.__version__,
            data=ONNX_FILE,
            providers=["CPUExecutionProvider"],
            code=None,
        )
    picture = BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(picture, "JPEG")
    mlflow.pyfunc.save_model(
        str(directory),
        loader_module=served.__name__,
        mlflow_model=model,
        signature=_signature(),
        input_example=pd.DataFrame({served.INPUT: [picture.getvalue()]}),
        pip_requirements=[f"deepfakestream=={version('deepfakestream')}"],
        model_config=served.OPTIONS,
    )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    text, number = DataType.string, DataType.double
    outputs: dict[str, Array | DataType] = {
        "verdict": text,
        "p_fake": number,
        "message": text,
        "reasons": Array(text),
        "detector": text,
        "result": text,
    }
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, served.INPUT)]),
        outputs=Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
    )
