"""Where networks run."""

from __future__ import annotations

from typing import Literal

from deepfakestream.errors import ParamsError


def resolve_device(wanted: str) -> Literal["cpu", "cuda"]:
    """Return the device for `auto`, `cpu` or `cuda`: a GPU where there is one and nobody asked otherwise.

    Raises:
        ParamsError: a GPU was asked for and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ParamsError(
            "DEEPFAKESTREAM_DEVICE is 'cuda' but this machine has no usable GPU; set it to 'auto' or 'cpu'"
        )
    return "cpu"
