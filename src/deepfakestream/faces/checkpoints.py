"""Third-party torch checkpoints: fetched once, checked, and read without running anything they contain.

`torch.load(weights_only=True)` unpickles tensors and nothing else; our own weights are never pickles.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load as load_safetensors

from deepfakestream.errors import WeightsError

_PROMISED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.")
"""Torch hub's convention: the file's name ends with the first digits of its sha256."""


def fetch(url: str) -> Path:
    """Return the checkpoint of a URL from torch's cache, downloaded on first use.

    Raises:
        WeightsError: it is not in the cache and cannot be downloaded.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[-1]
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (URLError, OSError, ValueError) as error:
        raise WeightsError(
            f"{url}: the weights of RetinaFace ResNet-50 cannot be downloaded ({error}); put it at {path}, "
            "set DEEPFAKESTREAM_RETINAFACE_R50_WEIGHTS to a copy, or use detector: retinaface_mnet025"
        ) from error
    return path


def read_state_dict(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return a checkpoint's tensors by name, and the sha256 of the file.

    Where the file's name carries a digest, the file or the one checkpoint inside the zip must have it.

    Raises:
        WeightsError: the file is missing, has another digest, or is no checkpoint of plain tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror}); correct the path of the weights"
        ) from error
    inner = _unzipped(content)
    _check_promise(path, content, inner)
    try:
        state = _tensors(path, inner)
    except Exception as error:  # unpicklers raise anything on damaged bytes
        raise WeightsError(
            f"{path}: not a checkpoint of plain tensors ({type(error).__name__}); get it again"
        ) from error
    return state, hashlib.sha256(content).hexdigest()


def _unzipped(content: bytes) -> bytes:
    """Return the only member of a plain zip; the bytes themselves where they are the checkpoint."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        return archive.read(names[0]) if len(names) == 1 else content


def _check_promise(path: Path, content: bytes, inner: bytes) -> None:
    promise = _PROMISED_DIGEST.search(path.name)
    if promise is None:
        return
    digests = {hashlib.sha256(data).hexdigest() for data in (content, inner)}
    if not any(digest.startswith(promise[1]) for digest in digests):
        raise WeightsError(
            f"{path}: sha256 does not begin with {promise[1]}, as its name promises; get the file again"
        )


def _tensors(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return dict(load_safetensors(content))
    state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise TypeError("not a mapping of names to tensors")
    return state
