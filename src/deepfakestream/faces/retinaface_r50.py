"""RetinaFace with a ResNet-50 backbone: finds more than MobileNet-0.25, at a price that asks for a GPU.

The network is `retinaface-pytorch`'s; its 109 MB of weights are not ours to ship: they come from a path, from
torch's cache or from the release that the library itself names. Pre- and post-processing are ours.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepfakestream.errors import WeightsError
from deepfakestream.faces.checkpoints import fetch, read_state_dict
from deepfakestream.faces.retinaface import Heads, RetinaFace
from deepfakestream.host.device import resolve_device
from deepfakestream.media.types import RGBImage

NAME = "retinaface_r50"
URL = "https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip"
MEAN_RGB = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD_RGB = np.array([0.229, 0.224, 0.225], dtype=np.float32)


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
            f"{path}: not retinaface-pytorch's ResNet-50 ({_first_line(error)}); get it from {url}"
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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
