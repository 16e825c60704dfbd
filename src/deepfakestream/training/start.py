"""What a training starts from: the network that the parameters describe, and the weights that it is given."""

from __future__ import annotations

from pathlib import Path

from deepfakestream.model.files import load_network
from deepfakestream.model.network import STREAMS, DetectorNetwork, create_network, head_of_streams
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.model.spec import NetworkSpec
from deepfakestream.model.tower.network import load_tower_weights
from deepfakestream.model.tower.sources import read_tower, tower_path
from deepfakestream.training.params import TrainParams


def start_network(params: TrainParams, cache_dir: Path | None = None) -> DetectorNetwork:
    """Return the network to train: with ImageNet weights, or those of the packaged or another model folder.

    Where a model folder holds another variant, the streams that both have are taken over, and their parts of
    the head where all are; a stream that it lacks starts from ImageNet weights, and so does everything where
    it holds another backbone. A tower starts from the weights that were fetched.

    Args:
        params: section `train`.
        cache_dir: folder that the tower was fetched to; None: the user's cache folder.

    Raises:
        ParamsError: timm knows no such backbone.
        WeightsError: the weights cannot be had.
    """
    spec = params.network.spec
    if spec.variant == "tower":
        network = create_network(spec)
        load_tower_weights(network, read_tower(tower_path(cache_dir)))
        return network
    if params.network.start_from == "imagenet":
        return create_network(spec, imagenet=True)
    donor, donor_spec = load_network(named_model_dir(params.network.start_from))
    if donor_spec.network.backbone != spec.backbone:
        return create_network(spec, imagenet=True)
    return _started_from(donor, spec)


def _started_from(donor: DetectorNetwork, spec: NetworkSpec) -> DetectorNetwork:
    """Return a network with the donor's streams, and ImageNet's weights in those that it lacks."""
    names = STREAMS[spec.variant]
    shared = [name for name in names if name in donor.streams]
    network = create_network(spec, imagenet=len(shared) < len(names))
    given = {
        name: tensor
        for name, tensor in donor.state_dict().items()
        if name.startswith(tuple(f"streams.{stream}." for stream in shared))
    }
    if len(shared) == len(names):
        given |= head_of_streams(donor, names)
    own = network.state_dict()
    fits = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fits, strict=False)
    return network
