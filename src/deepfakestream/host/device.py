"""Where networks run."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Literal

from deepfakestream.errors import MissingExtraError, ParamsError


def resolve_device(wanted: str) -> Literal["cpu", "cuda"]:
    """Return the device for `auto`, `cpu` or `cuda`: a GPU where there is one that PyTorch can use.

    PyTorch is imported only on machines with a GPU driver; elsewhere the answer is known without it.

    Raises:
        ParamsError: a GPU was asked for and there is none.
        MissingExtraError: a GPU was asked for and PyTorch is not installed.
    """
    if wanted == "cpu":
        return "cpu"
    if _has_driver():
        try:
            import torch
        except ModuleNotFoundError as error:
            if wanted == "cuda":
                raise MissingExtraError("torch", ("explain",)) from error
            return "cpu"
        if torch.cuda.is_available():
            return "cuda"
    if wanted == "cuda":
        raise ParamsError(
            "DEEPFAKESTREAM_DEVICE is 'cuda' but this machine has no usable GPU; set it to 'auto' or 'cpu'"
        )
    return "cpu"


def _has_driver() -> bool:
    """Tell whether a GPU driver that PyTorch could use is installed: NVIDIA's or AMD's."""
    if Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
