"""A model folder: `model.safetensors`, `model.onnx`, `spec.json`. Never a pickle.

Both weight files hold half-precision numbers, which halves them, and the network computes in single
precision from exactly those numbers; so the two files cannot disagree by more than the runtimes do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from deepfakestream.errors import WeightsError
from deepfakestream.model.export import export_onnx
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.spec import DetectorSpec, NetworkSpec, NormalisationSpec, read_spec, write_spec

WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"


def save_model(network: DetectorNetwork, spec: DetectorSpec, directory: Path) -> None:
    """Write the model folder; the network is left in evaluation mode with its weights rounded to half."""
    directory.mkdir(parents=True, exist_ok=True)
    round_to_half(network)
    tensors = {name: _stored(tensor) for name, tensor in network.state_dict().items()}
    save_file(tensors, directory / WEIGHTS_FILE)
    write_spec(spec, directory)
    export_onnx(network, directory / ONNX_FILE, size_px=spec.extraction.crop_size_px)


def load_network(directory: Path) -> tuple[DetectorNetwork, DetectorSpec]:
    """Return the network of a model folder in evaluation mode, and its spec.

    Raises:
        WeightsError: a file is missing, damaged, or of another network than the spec describes.
    """
    spec = read_spec(directory)
    return load_weights(directory / WEIGHTS_FILE, spec.network, spec.normalisation), spec


def load_weights(path: Path, spec: NetworkSpec, normalisation: NormalisationSpec) -> DetectorNetwork:
    """Return the network of the spec with the weights of a safetensors file, in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged or of another network.
    """
    network = create_network(spec, normalisation=normalisation)
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.load_state_dict(tensors, strict=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: missing; a model folder holds {WEIGHTS_FILE} and spec.json") from error
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: damaged or of another network than spec.json says ({reason})") from error
    return network.eval()


def round_to_half(network: DetectorNetwork) -> None:
    """Put the network in evaluation mode and round its weights to what half precision can hold."""
    network.eval().float().cpu()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())


def weights_sha256(directory: Path) -> str:
    """Return the digest of `model.safetensors`, the identity of a model.

    Raises:
        WeightsError: the file is missing.
    """
    try:
        return hashlib.sha256((directory / WEIGHTS_FILE).read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{directory / WEIGHTS_FILE}: cannot be read ({error.strerror})") from error


def _stored(tensor: Tensor) -> Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
