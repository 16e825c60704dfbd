"""The tower as a stream of the detector's network: to tune it, to run it on a GPU, to export its graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deepfakestream.errors import WeightsError
from deepfakestream.model.export import forget_origin, to_onnx
from deepfakestream.model.spec import NormalisationSpec
from deepfakestream.model.tower.runtime import WEIGHTS_PREFIX

BACKBONE = "vit_base_patch16_clip_quickgelu_224"
NORMALISATION = NormalisationSpec(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
FEATURE_SCALE = 50.0
"""Length of each half of the features, so that the head learns at the learning rate of the layer norms."""


class Tokens(nn.Module):
    """A vision transformer without its head: `(N, 3, S, S)` normalised pixels to tokens `(N, 1 + P, C)`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.vit = timm.create_model(name, pretrained=False, num_classes=0)
        self.num_features = 2 * int(self.vit.num_features)  # type: ignore[arg-type]
        """Of the pooled vector: class token and mean patch token side by side."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the tokens after the last layer norm, `(N, 1 + P, C)`.

        Args:
            pixels: `(N, 3, S, S)`, normalised.
        """
        tokens: Tensor = self.vit.forward_features(pixels)  # type: ignore[operator]
        return tokens


class TokenPooling(nn.Module):
    """Class token and mean patch token, each of unit length before scaling: `(N, 1 + P, C)` to `(N, 2 C)`.

    After GenD (Yermakov et al., 2025, https://arxiv.org/abs/2508.06248), where the unit length matters.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the pooled features `(N, 2 C)`.

        Args:
            tokens: `(N, 1 + P, C)`.
        """
        halves = (tokens[:, 0], tokens[:, 1:].mean(dim=1))
        return FEATURE_SCALE * torch.cat([normalize(half, dim=1) for half in halves], dim=1)

    def patch_parts(self, tokens: Tensor) -> Tensor:
        """Return what each patch adds to the second half of the features, `(N, P, C)`: they sum to it.

        Args:
            tokens: `(N, 1 + P, C)`.
        """
        patches = tokens[:, 1:]
        length = patches.mean(dim=1).norm(dim=1)[:, None, None]
        parts: Tensor = FEATURE_SCALE * patches / (patches.shape[1] * length)
        return parts


def freeze_all_but_norms(network: nn.Module) -> None:
    """Let training move layer norms and head of a network with a tower, and nothing else."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_is_tuned(name))


def tuned_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return what tuning moves, by name in the network's state dict."""
    return {name: each.detach() for name, each in network.named_parameters() if _is_tuned(name)}


def _is_tuned(name: str) -> bool:
    return "norm" in name or not name.startswith(WEIGHTS_PREFIX)


def load_tower_weights(network: nn.Module, tower: Mapping[str, np.ndarray]) -> None:
    """Give a network the weights of its tower.

    Args:
        network: with a stream `tower`.
        tower: weights by timm's names, as `read_tower` returns them.

    Raises:
        WeightsError: the weights are of another tower.
    """
    weights = {f"{WEIGHTS_PREFIX}{name}": torch.from_numpy(each) for name, each in tower.items()}
    own = {name for name in network.state_dict() if name.startswith(WEIGHTS_PREFIX)}
    if set(weights) != own:
        raise WeightsError(
            f"train.network.backbone: the fetched tower has {len(weights)} tensors, this network {len(own)}; "
            f"set it to {BACKBONE}"
        )
    network.load_state_dict(weights, strict=False)


def export_tower_graph(network: nn.Module, path: Path, *, size_px: int) -> None:
    """Write the network's graph with every weight left out, to be given when a session is opened.

    Args:
        network: with a stream `tower`.
        path: file to write.
        size_px: side of the pictures.
    """
    model = to_onnx(network, size_px=size_px, fold_constants=False)
    names = {name for name, _ in network.named_parameters()}
    for initializer in model.graph.initializer:
        if initializer.name not in names:
            continue
        initializer.ClearField("raw_data")
        initializer.data_location = onnx.TensorProto.EXTERNAL
        entry = initializer.external_data.add()
        entry.key, entry.value = "location", "given-at-load"
    forget_origin(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
