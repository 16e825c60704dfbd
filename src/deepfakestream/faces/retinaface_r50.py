"""RetinaFace with a ResNet-50 backbone: finds more than MobileNet-0.25, at a price that asks for a GPU.

The network is `retinaface-pytorch`'s; its 109 MB of weights are not ours to ship: they come from a path, from
torch's cache or from the release that the library itself names. Pre- and post-processing are ours.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from safetensors.torch import load as load_safetensors

from deepfakestream.errors import WeightsError
from deepfakestream.faces.retinaface import Heads, RetinaFace
from deepfakestream.host.device import resolve_device
from deepfakestream.media.types import RGBImage

NAME = "retinaface_r50"
URL = "https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip"
MEAN_RGB = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD_RGB = np.array([0.229, 0.224, 0.225], dtype=np.float32)

_PROMISED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.")
"""Torch hub's convention: the file's name ends with the first digits of its sha256."""


def open_r50(weights: Path | None, *, device: str = "auto", url: str = URL) -> RetinaFace:
    """Return the detector; it may be shared by several threads.

    Args:
        weights: checkpoint (`.safetensors`, `.pth`, or a zip that holds one); None: the one in torch's
            cache, else downloaded from `url`.
        device: auto, cpu or cuda; auto takes the GPU where there is one.
        url: where to download from.

    Raises:
        WeightsError: there are no weights, they are not the ones that their name promises, or they belong to
            another network.
    """
    path = weights if weights is not None else fetch(url)
    state, digest = read_state_dict(path)
    network = _build()
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path}: not retinaface-pytorch's ResNet-50 ({str(error).splitlines()[0]}); get it from {url}"
        ) from error
    return RetinaFace(NAME, digest, _ResNet50(network, torch.device(resolve_device(device))))


class _ResNet50:
    def __init__(self, network: Any, device: torch.device) -> None:
        self._network = network.eval().to(device, torch.float32, memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def __call__(self, stacked_rgb: RGBImage) -> Heads:
        scaled = (stacked_rgb.astype(np.float32) / 255 - MEAN_RGB) / STD_RGB
        # A batch in height-width-channel order, seen as planes, is channels_last already.
        planes = torch.from_numpy(scaled).permute(0, 3, 1, 2).to(self._device)
        loc, logits, landmarks = self._network(planes)
        scores = logits.softmax(dim=-1)[..., 1]
        return loc.cpu().numpy(), scores.cpu().numpy(), landmarks.cpu().numpy()


def _build() -> Any:
    from retinaface.network import RetinaFace as LibraryNetwork

    # On the meta device: initialising 27 million weights that the checkpoint replaces takes seconds.
    with warnings.catch_warnings(), torch.device("meta"):
        # The library still says `pretrained=False`, which torchvision calls deprecated.
        warnings.simplefilter("ignore", UserWarning)
        return LibraryNetwork(
            name="Resnet50",
            pretrained=False,
            return_layers={"layer2": 1, "layer3": 2, "layer4": 3},
            in_channels=256,
            out_channels=256,
        )


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
