"""ONNX networks that ship with the package: checked by digest, opened so that they share the cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepfakestream.errors import WeightsError
from deepfakestream.host.digest import sha256_file

WEIGHTS_DIR = Path(__file__).parent / "weights"


def open_session(path: Path, sha256: str, *, device: str, num_threads: int) -> Any:
    """Return an onnxruntime session; it may be shared by several threads.

    Args:
        path: the network.
        sha256: digest that the file must have.
        device: "cuda" uses the GPU where onnxruntime has a CUDA provider; anything else the CPU.
        num_threads: threads of one call on the CPU.

    Raises:
        WeightsError: the file is missing or has another digest.
    """
    import onnxruntime

    _check_digest(path, sha256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Spinning threads take the cores from torch between two calls: 2 to 3 times slower in one loop with it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = (
        ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    )
    usable = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=usable)


def _check_digest(path: Path, sha256: str) -> None:
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise WeightsError(
            f"{path}: the face detector's weights cannot be read ({error.strerror}); reinstall the package"
        ) from error
    if digest != sha256:
        raise WeightsError(
            f"{path}: sha256 is {digest[:12]}…, expected {sha256[:12]}…; reinstall the package"
        )
