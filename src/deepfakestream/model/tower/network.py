"""The tower as a PyTorch module: for tuning it, for a GPU, and for the export of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deepfakestream.model.network import Normalise
from deepfakestream.model.spec import NormalisationSpec

BACKBONE = "vit_base_patch16_clip_quickgelu_224"
SIZE_PX = 224
NORMALISATION = NormalisationSpec(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
FEATURE_SCALE = 10.0
"""Length of each half of the features; of length 1 they would ask for a head of very large weights."""


class TowerNetwork(nn.Module):
    """The tower and a linear head: `(N, 3, 224, 224)` pixels, float 0-255, to logits `(N,)`.

    The head sees the class token and the mean of the patch tokens after the last layer norm, each of unit
    length, as in GenD (Yermakov et al., 2025, https://arxiv.org/abs/2508.06248).
    """

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(NORMALISATION)
        self.tower = timm.create_model(BACKBONE, pretrained=False, num_classes=0)
        self.head = nn.Linear(2 * int(self.tower.num_features), 1)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the head sees before it is scaled, `(N, 1536)`."""
        tokens = self.tower.forward_features(self.normalise(pixels))  # type: ignore[operator]
        halves = (tokens[:, 0], tokens[:, 1:].mean(dim=1))
        return torch.cat([normalize(half, dim=1) for half in halves], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return one logit a picture, `(N,)`."""
        logits: Tensor = self.head(FEATURE_SCALE * self.features(pixels)).squeeze(1)
        return logits

    def tuned(self) -> dict[str, nn.Parameter]:
        """Return what tuning moves: layer norms and head, 41,473 parameters; all else is frozen."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("norm" in name or name.startswith("head."))
        return {name: each for name, each in self.named_parameters() if each.requires_grad}


def load_tower_network(
    tower: Mapping[str, np.ndarray], tuned: Mapping[str, np.ndarray] | None = None
) -> TowerNetwork:
    """Return the network with the tower's weights, in evaluation mode.

    Args:
        tower: weights by timm's names, as `read_tower` returns them.
        tuned: layer norms and head; None: the tower's own norms and a head of zeros.
    """
    network = TowerNetwork()
    network.tower.load_state_dict({name: torch.from_numpy(each) for name, each in tower.items()})
    if tuned is not None:
        state = {name: torch.from_numpy(each) for name, each in tuned.items()}
        network.load_state_dict(state, strict=False)
    return network.eval()


def export_tower_graph(network: TowerNetwork, path: Path) -> None:
    """Write the network's graph with every weight left out, to be given when a session is opened.

    Args:
        network: with any weights.
        path: file to write.
    """
    import onnx

    from deepfakestream.model.export import forget_origin, to_onnx

    model = to_onnx(network, size_px=SIZE_PX, fold_constants=False)
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
