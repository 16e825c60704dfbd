"""The noise residual as the network sees it: what is left of a face when its content is predicted away."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepfakestream.explain.attribution import pixels_of
from deepfakestream.media.types import RGBImage
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.model.srm import SRM


def noise_residual(network: DetectorNetwork, crop: RGBImage) -> NDArray[np.float32] | None:
    """Return the truncated residuals `(3, S, S)` of a crop, in grey levels within +-3; one a kernel.

    They are read off inside the network, before its batch norm, so that learned kernels are shown as learned.
    None for a network without a noise stream.

    Args:
        network: in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    layers = [module for module in network.modules() if isinstance(module, SRM)]
    if not layers:
        return None
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    handle = layers[0].norm.register_forward_pre_hook(keep)
    try:
        with torch.inference_mode():
            layers[0](pixels_of(crop))
    finally:
        handle.remove()
    return np.asarray(seen[0][0].numpy(), dtype=np.float32)
