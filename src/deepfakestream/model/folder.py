"""The files of a model folder and its identity, without PyTorch: scoring on a CPU needs no more."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deepfakestream.errors import WeightsError
from deepfakestream.host.digest import sha256_file
from deepfakestream.model.spec import SPEC_FILE

WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
CARD_FILE = "MODEL_CARD.md"
TUNED_FILE = "expert.safetensors"
TOWER_GRAPH_FILE = "expert.onnx"

REQUIRED = (WEIGHTS_FILE, ONNX_FILE, SPEC_FILE)
"""What decides a score; the digest covers exactly these."""
EXPERT = (TUNED_FILE, TOWER_GRAPH_FILE)
"""What the accurate detector needs besides, but for the tower itself; the digest covers these, too."""
OPTIONAL = (*EXPERT, CARD_FILE, "history.json")


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
    for name in (*REQUIRED, *(name for name in EXPERT if name in files)):
        digest.update(f"{name}:{sha256_file(files[name])}\n".encode())
    return digest.hexdigest()
