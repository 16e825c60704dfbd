"""Maps of the evidence in one face: two CAMs of each stream, a tower's patches, GWAP's attention, SHAP, LIME.

Every map explains the network's uncalibrated logit of the face: cells above 0 speak for a fake, cells below 0
for a real face. Calibration only stretches the logit, so it would change no map's shape. The only module that
imports captum.

A network that scores the mean of a face and its mirror image is explained by the mean of both maps, the
second mirrored back, so that what adds up for one adds up for both.

Shapes: crop `(S, S, 3)` RGB uint8; maps `(h, w)` float32, as coarse as the feature map or the grid of cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import KernelShap, LayerGradCam, LayerGradientXActivation, Lime
from numpy.typing import NDArray
from torch import Tensor

from deepfakestream.media.types import RGBImage
from deepfakestream.model.network import DetectorNetwork, head_of_streams
from deepfakestream.model.pooling import WeightedAveragePooling

Map = NDArray[np.float32]
LogitsOfCrops = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps RGB crops `(N, S, S, 3)` to logits `(N,)`, as `FaceScorer.logits` does."""

GRID_CELLS = 7
"""SHAP and LIME switch the cells of a grid of this many rows and columns."""
NUM_SAMPLES = 400
FINE_STRIDE = 8
"""Pixels a cell of the fine map; the last feature map has cells of 32."""
_BATCH = 16


def grad_cam(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    """Return the signed Grad-CAM (Selvaraju et al., 2017) of each stream's last feature map, by stream.

    The usual cut at 0 is left out, so that evidence for a real face is seen too. With average pooling before
    the linear head nothing is approximate: the cells of all streams add up to the logit less the head's bias.

    Args:
        network: in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    return _as_scored(network, crop, _grad_cam)


def layer_cam(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    """Return the signed LayerCAM (Jiang et al., 2021) of each stream's feature map of stride 8, by stream.

    Each position's features are weighed by their own gradients and not by the gradients' mean, which keeps
    finer maps meaningful. As above, without the cut at 0.

    Args:
        network: in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    return _as_scored(network, crop, _layer_cam)


def gwap_attention(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    """Return the weight that each position has in its stream's pooling, by stream; they sum to 1.

    Empty for networks with average pooling, where every position weighs the same.

    Args:
        network: in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    return _as_scored(network, crop, _gwap_attention)


def patch_evidence(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    """Return what each patch of a tower adds to the logit through the mean of the patches, by stream.

    The tower's head is linear in its class token and in the mean of its patch tokens, each of unit length. So
    the second half of the logit is a sum over patches, and nothing is approximate. A patch token has seen
    the other patches, too: a place tells where the evidence is kept, not only where it comes from.

    Args:
        network: with a stream `tower`, in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    return _as_scored(network, crop, _patch_evidence)


def stream_logits(network: DetectorNetwork, crop: RGBImage) -> dict[str, float]:
    """Return what each stream adds to the logit; with the head's bias (`bias`) they sum to it.

    Args:
        network: in evaluation mode.
        crop: `(S, S, 3)`, RGB, 0-255.
    """
    parts = _as_scored(network, crop, _stream_logits)
    return {"bias": network.head.bias.item(), **{name: float(cells.item()) for name, cells in parts.items()}}


def kernel_shap(logits: LogitsOfCrops, crop: RGBImage, baseline: RGBImage, *, seed: int = 0) -> Map:
    """Return KernelSHAP values (Lundberg and Lee, 2017) of a grid's cells; a cell left out is baseline.

    Args:
        logits: scores crops, `(N, S, S, 3)` to `(N,)`.
        crop: `(S, S, 3)`, RGB, 0-255.
        baseline: `(S, S, 3)`, shown where a cell is left out.
        seed: the same seed draws the same.
    """
    return _by_switching_cells(KernelShap(_forward(logits)), crop, baseline, seed)


def lime(logits: LogitsOfCrops, crop: RGBImage, baseline: RGBImage, *, seed: int = 0) -> Map:
    """Return LIME coefficients (Ribeiro et al., 2016) of a grid's cells; a cell left out is baseline.

    Args:
        logits: scores crops, `(N, S, S, 3)` to `(N,)`.
        crop: `(S, S, 3)`, RGB, 0-255.
        baseline: `(S, S, 3)`, shown where a cell is left out.
        seed: the same seed draws the same.
    """
    return _by_switching_cells(Lime(_forward(logits)), crop, baseline, seed)


def pixels_of(crop: RGBImage) -> Tensor:
    """Return the crop as the network's input `(1, 3, S, S)`."""
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)[None], dtype=np.float32))


def _as_scored(
    network: DetectorNetwork, crop: RGBImage, maps_of: Callable[[DetectorNetwork, RGBImage], dict[str, Map]]
) -> dict[str, Map]:
    """Return the maps of a crop, or their mean with its mirror image's where the network scores that mean."""
    maps = maps_of(network, crop)
    if not network.flip_tta:
        return maps
    mirrored = maps_of(network, crop[:, ::-1])
    half = np.float32(0.5)
    return {name: half * (cells + mirrored[name][:, ::-1]) for name, cells in maps.items()}


def _grad_cam(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    pixels = pixels_of(crop).requires_grad_()
    maps = {}
    for name, stream in network.streams.items():
        method = LayerGradCam(network.one_way, stream.backbone)
        cam: Tensor = method.attribute(pixels, relu_attributions=False)
        maps[name] = _numpy(cam[0, 0])
    return maps


def _layer_cam(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    pixels = pixels_of(crop).requires_grad_()
    maps = {}
    for name, stream in network.streams.items():
        backbone: Any = stream.backbone
        fine = [stage["module"] for stage in backbone.feature_info if stage["reduction"] == FINE_STRIDE]
        method = LayerGradientXActivation(network.one_way, backbone.get_submodule(fine[-1]))
        products: Tensor = method.attribute(pixels)
        maps[name] = _numpy(products[0].sum(dim=0))
    return maps


def _gwap_attention(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    maps = {}
    with torch.inference_mode():
        for name, stream in network.streams.items():
            pooling: Any = stream.pooling
            if isinstance(pooling, WeightedAveragePooling):
                maps[name] = _numpy(pooling.weights(stream(pixels_of(crop)))[0, 0])
    return maps


def _patch_evidence(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    maps = {}
    with torch.inference_mode():
        for name, stream in network.streams.items():
            pooling: Any = stream.pooling
            parts: Tensor = pooling.patch_parts(stream(pixels_of(crop)))[0]
            _, weights = head_of_streams(network, [name])["head.weight"][0].chunk(2)
            side = round(len(parts) ** 0.5)
            maps[name] = _numpy((parts @ weights).reshape(side, side))
    return maps


def _stream_logits(network: DetectorNetwork, crop: RGBImage) -> dict[str, Map]:
    """Return the part of each stream as a map of one cell."""
    parts = {}
    with torch.inference_mode():
        for name, stream in network.streams.items():
            weights = head_of_streams(network, [name])["head.weight"] / len(network.streams)
            pooling: Any = stream.pooling
            parts[name] = _numpy(pooling(stream(pixels_of(crop))) @ weights.T)
    return parts


def _by_switching_cells(method: Any, crop: RGBImage, baseline: RGBImage, seed: int) -> Map:
    size_px = crop.shape[0]
    line = torch.arange(size_px) * GRID_CELLS // size_px
    cells = line[:, None] * GRID_CELLS + line[None, :]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        values: Tensor = method.attribute(
            pixels_of(crop),
            baselines=pixels_of(baseline),
            feature_mask=cells[None, None].expand(1, 3, -1, -1),
            n_samples=NUM_SAMPLES,
            perturbations_per_eval=_BATCH,
        )
    firsts = [(cells == cell).nonzero()[0].tolist() for cell in range(GRID_CELLS**2)]
    flat = [float(values[0, 0, row, column]) for row, column in firsts]
    return np.array(flat, np.float32).reshape(GRID_CELLS, GRID_CELLS)


def _forward(logits: LogitsOfCrops) -> Callable[[Tensor], Tensor]:
    def forward(pixels: Tensor) -> Tensor:
        crops = pixels.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
        return torch.from_numpy(logits(np.ascontiguousarray(crops)))

    return forward


def _numpy(cells: Tensor) -> Map:
    return np.asarray(cells.detach().numpy(), dtype=np.float32)
