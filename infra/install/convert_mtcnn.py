"""Convert the MTCNN weights of the MIT-licensed wheel facenet-pytorch 2.6.0 to the ONNX files we ship.

    pip download --no-deps facenet-pytorch==2.6.0
    python infra/install/convert_mtcnn.py facenet_pytorch-2.6.0-py3-none-any.whl FOLDER

The wheel pins torch<2.3 and cannot be installed next to ours, so it is read as the zip that it is. The same
wheel gives the same bytes. Put the printed digests into deepfakestream/faces/mtcnn.py.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
POOL_3 = ("pool", 3)
POOL_2 = ("pool", 2)
NETWORKS: dict[str, tuple[int | None, tuple[Any, ...], tuple[str, ...], str]] = {
    # input side (None: any), layers to the last shared one, heads, the head that is a softmax
    "pnet": (
        None,
        ("conv1", "prelu1", POOL_2, "conv2", "prelu2", "conv3", "prelu3"),
        ("conv4_1", "conv4_2"),
        "conv4_1",
    ),
    "rnet": (
        24,
        ("conv1", "prelu1", POOL_3, "conv2", "prelu2", POOL_3, "conv3", "prelu3", "flat", "dense4", "prelu4"),
        ("dense5_1", "dense5_2"),
        "dense5_1",
    ),
    "onet": (
        48,
        (
            *("conv1", "prelu1", POOL_3, "conv2", "prelu2", POOL_3, "conv3", "prelu3", POOL_2),
            *("conv4", "prelu4", "flat", "dense5", "prelu5"),
        ),
        ("dense6_1", "dense6_2", "dense6_3"),
        "dense6_1",
    ),
}


def build(name: str, state: dict[str, torch.Tensor]) -> onnx.ModelProto:
    """Return a network of `NETWORKS` as a graph from `input` to one output a head, the softmax first."""
    side, trunk, heads, softmax = NETWORKS[name]
    nodes: list[onnx.NodeProto] = []
    last = "input"
    for position, layer in enumerate(trunk):
        last = _add(nodes, layer, last, f"t{position}")
    for head in heads:
        target = f"{head}_logits" if head == softmax else head
        _add(nodes, head, last, target)
    nodes.append(helper.make_node("Softmax", [f"{softmax}_logits"], [softmax], axis=1))
    size = ["height", "width"] if side is None else [side, side]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, *size])]
    grid = ["rows", "columns"] if side is None else []
    outputs = [
        helper.make_tensor_value_info(head, TensorProto.FLOAT, ["batch", len(state[f"{head}.bias"]), *grid])
        for head in heads
    ]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializer=_weights(state))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="mtcnn"
    )


def _add(nodes: list[onnx.NodeProto], layer: Any, source: str, target: str) -> str:
    if isinstance(layer, tuple):
        attributes = {"kernel_shape": [layer[1]] * 2, "strides": [2, 2], "ceil_mode": 1}
        nodes.append(helper.make_node("MaxPool", [source], [target], **attributes))
    elif layer == "flat":
        # The weights come from Caffe by way of TensorFlow: width before height before channels.
        nodes.append(helper.make_node("Transpose", [source], [f"{target}_t"], perm=[0, 3, 2, 1]))
        nodes.append(helper.make_node("Flatten", [f"{target}_t"], [target], axis=1))
    elif layer.startswith("prelu"):
        nodes.append(helper.make_node("PRelu", [source, f"{layer}.weight"], [target]))
    elif layer.startswith("conv"):
        nodes.append(helper.make_node("Conv", [source, f"{layer}.weight", f"{layer}.bias"], [target]))
    else:
        names = [source, f"{layer}.weight", f"{layer}.bias"]
        nodes.append(helper.make_node("Gemm", names, [target], transB=1))
    return target


def _weights(state: dict[str, torch.Tensor]) -> list[onnx.TensorProto]:
    after_conv = {"prelu1", "prelu2", "prelu3", *({"prelu4"} if "conv4.weight" in state else set())}
    tensors = []
    for key, value in state.items():
        layer = key.split(".")[0]
        array = value.numpy().reshape(-1, 1, 1) if layer in after_conv else value.numpy()
        tensors.append(numpy_helper.from_array(array, key))
    return tensors


def main(wheel: Path, folder: Path) -> None:
    """Write the three graphs and the licence; print the digests."""
    with zipfile.ZipFile(wheel) as archive:
        for name in NETWORKS:
            content = archive.read(f"facenet_pytorch/data/{name}.pt")
            model = build(name, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
            onnx.checker.check_model(model)
            path = folder / f"mtcnn_{name}.onnx"
            path.write_bytes(model.SerializeToString(deterministic=True))
            sys.stdout.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n")
        licence = archive.read("facenet_pytorch-2.6.0.dist-info/LICENSE.md")
        (folder / "LICENSE.mtcnn").write_bytes(licence)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
