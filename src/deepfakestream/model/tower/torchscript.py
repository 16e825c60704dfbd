"""CLIP's image tower from OpenAI's TorchScript archive, without PyTorch and its code.

The archive is a zip file: `data.pkl` names the tensors, `data/N` holds their numbers. The pickle is
read by an unpickler that knows tensors and plain containers only.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from deepfakestream.errors import WeightsError

_DTYPES = {
    "HalfStorage": np.float16,
    "FloatStorage": np.float32,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
}
_BLOCK = {
    "attn.in_proj_weight": "attn.qkv.weight",
    "attn.in_proj_bias": "attn.qkv.bias",
    "attn.out_proj.weight": "attn.proj.weight",
    "attn.out_proj.bias": "attn.proj.bias",
    "mlp.c_fc.weight": "mlp.fc1.weight",
    "mlp.c_fc.bias": "mlp.fc1.bias",
    "mlp.c_proj.weight": "mlp.fc2.weight",
    "mlp.c_proj.bias": "mlp.fc2.bias",
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
}
NUM_BLOCKS = 12


def read_image_tower(path: Path) -> dict[str, np.ndarray]:
    """Return the image tower's tensors by timm's names, and CLIP's projection as `proj`.

    Raises:
        WeightsError: the file is no such archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (root,) = {name.split("/")[0] for name in archive.namelist()}
            model = _Reader(archive, root).load()
        return _timm_names(model.attributes["visual"])
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path}: not OpenAI's archive of CLIP ({type(error).__name__}: {error}); download it again"
        ) from error


class _Module:
    """A module of the archive: its tensors and parts by name. Its code is not read."""

    attributes: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state

    def tensor(self, path: str) -> np.ndarray:
        value: Any = self
        for name in path.split("."):
            value = value.attributes[name]
        return np.asarray(value)


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(archive.open(f"{root}/data.pkl"))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch.jit._pickle", "build_intlist"): list,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"holds a {module}.{name}, which no tower has")
        return known[module, name]

    def persistent_load(self, saved: Any) -> np.ndarray:
        _, dtype, key, _, _ = saved
        return np.frombuffer(self._archive.read(f"{self._root}/data/{key}"), dtype=dtype)


def _tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> np.ndarray:
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape=size, strides=strides, writeable=False)


def _timm_names(visual: _Module) -> dict[str, np.ndarray]:
    tensors = {
        "cls_token": visual.tensor("class_embedding").reshape(1, 1, -1),
        "pos_embed": visual.tensor("positional_embedding")[None],
        "patch_embed.proj.weight": visual.tensor("conv1.weight"),
        "proj": visual.tensor("proj"),
    }
    for kind in ("weight", "bias"):
        tensors[f"norm_pre.{kind}"] = visual.tensor(f"ln_pre.{kind}")
        tensors[f"norm.{kind}"] = visual.tensor(f"ln_post.{kind}")
    for index in range(NUM_BLOCKS):
        for theirs, ours in _BLOCK.items():
            tensors[f"blocks.{index}.{ours}"] = visual.tensor(f"transformer.resblocks.{index}.{theirs}")
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}
