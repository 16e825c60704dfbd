"""The files of a model folder and its identity, without PyTorch: scoring on a CPU needs no more."""

from __future__ import annotations

from pathlib import Path

from deepfakestream.errors import WeightsError
from deepfakestream.media.digest import sha256_file

WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
CARD_FILE = "MODEL_CARD.md"


def weights_sha256(directory: Path) -> str:
    """Return the digest of `model.safetensors`, the identity of a model.

    Raises:
        WeightsError: the file is missing.
    """
    path = directory / WEIGHTS_FILE
    try:
        return sha256_file(path)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror}); a model folder holds {WEIGHTS_FILE}, {ONNX_FILE} "
            "and spec.json"
        ) from error
