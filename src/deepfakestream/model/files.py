"""Writing and reading a model folder: `model.safetensors`, `model.onnx`, `spec.json`. Never a pickle.

Both weight files hold large tensors in half precision, which halves them, and the network computes in single
precision from exactly those numbers; so the two files cannot disagree by more than the runtimes do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from deepfakestream.errors import ParamsError, WeightsError
from deepfakestream.model.export import export_onnx
from deepfakestream.model.folder import ONNX_FILE, WEIGHTS_FILE
from deepfakestream.model.half_graph import MAX_HALF, MIN_HALF_SIZE
from deepfakestream.model.network import DetectorNetwork, create_network
from deepfakestream.model.spec import DetectorSpec, NetworkSpec, NormalisationSpec, read_spec, write_spec
from deepfakestream.model.tower.network import export_tower_graph, load_tower_weights, tuned_tensors
from deepfakestream.model.tower.sources import read_tower, tower_path


def save_model(network: DetectorNetwork, spec: DetectorSpec, directory: Path) -> None:
    """Write the model folder; the network is left in evaluation mode with its weights rounded to half.

    Args:
        network: to write.
        spec: of the model.
        directory: folder to write to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_spec(spec, directory)
    size_px = spec.extraction.crop_size_px
    if spec.network.variant == "tower":
        save_file(tuned_tensors(network.eval().float().cpu()), directory / WEIGHTS_FILE)
        export_tower_graph(network, directory / ONNX_FILE, size_px=size_px)
        return
    round_to_half(network)
    tensors = {name: _stored(tensor) for name, tensor in network.state_dict().items()}
    save_file(tensors, directory / WEIGHTS_FILE)
    export_onnx(network, directory / ONNX_FILE, size_px=size_px)


def load_network(directory: Path, *, tower: Path | None = None) -> tuple[DetectorNetwork, DetectorSpec]:
    """Return the network of a model folder in evaluation mode, and its spec.

    Args:
        directory: model folder.
        tower: file with the image tower's weights, for the variant that has one.

    Raises:
        WeightsError: a file is missing, damaged, or of another network than the spec describes.
    """
    spec = read_spec(directory)
    return load_weights(directory / WEIGHTS_FILE, spec.network, spec.normalisation, tower=tower), spec


def load_weights(
    path: Path, spec: NetworkSpec, normalisation: NormalisationSpec, *, tower: Path | None = None
) -> DetectorNetwork:
    """Return the network of the spec with the weights of a safetensors file, in evaluation mode.

    Args:
        path: safetensors file.
        spec: how the network is built.
        normalisation: channel statistics of its input.
        tower: file with the image tower's weights, for the variant that has one.

    Raises:
        WeightsError: the file is missing, damaged or of another network.
    """
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        network = create_network(spec, normalisation=normalisation)
        if spec.variant == "tower":
            load_tower_weights(network, read_tower(tower or tower_path(None)))
            tensors = {**network.state_dict(), **tensors}
        network.load_state_dict(tensors, strict=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: missing; a model folder holds {WEIGHTS_FILE} and spec.json") from error
    except (SafetensorError, RuntimeError, OSError, ParamsError) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise WeightsError(
            f"{path}: damaged or of another network than spec.json says ({reason}); export the model again"
        ) from error
    return network.eval()


def round_to_half(network: DetectorNetwork) -> None:
    """Put the network in evaluation mode and round its weights to what half precision can hold."""
    network.eval().float().cpu()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(_stored(tensor))


def _stored(tensor: Tensor) -> Tensor:
    """Return the tensor as the file holds it; small tensors and too large numbers keep single precision.

    Among the small are the SRM kernels, which must sum to 0 more exactly than halves can.
    """
    large = tensor.is_floating_point() and tensor.numel() >= MIN_HALF_SIZE
    fits = large and bool((tensor.abs() <= MAX_HALF).all())
    return (tensor.half() if fits else tensor).contiguous()
