"""From faces to a finished detector: start weights, training, calibration, operating points, spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.aggregation import aggregate
from deepfakestream.model.calibration import IDENTITY, fit_platt, operating_points
from deepfakestream.model.files import load_network
from deepfakestream.model.network import NORMALISATION, DetectorNetwork, create_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.spec import AggregationSpec, DetectorSpec, NetworkSpec
from deepfakestream.params import TrainParams
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.face_set import FaceSet, require_both_sides
from deepfakestream.training.loop import EpochMetrics, FitResult, Trainer
from deepfakestream.training.pairs import PairDataset, PairSpec
from deepfakestream.training.validation import LabelledImages, score, validation_sets

AGGREGATION = AggregationSpec(frames="mean", tracks="max", min_track_frames=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Everything that one training needs."""

    train: FaceSet
    val: FaceSet
    params: TrainParams
    extraction: ExtractionSpec
    seed: int
    device: torch.device
    trained_on: str
    """Goes into the spec: data, and what its terms ask of a user of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedDetector:
    """A network with its spec, and how training went."""

    network: DetectorNetwork
    spec: DetectorSpec
    fit: FitResult


def train_detector(
    job: TrainingJob, checkpoints: CheckpointStore, on_epoch: Callable[[int, EpochMetrics], None]
) -> TrainedDetector:
    """Train, choose the best epoch on validation, calibrate, and return the detector.

    Raises:
        DataError: a split lacks a class that the parameters ask for.
        ParamsError: the backbone or the start is unknown.
        WeightsError: the weights to start from cannot be had or do not fit.
    """
    needs_fakes = job.params.fake_mix.dataset > 0
    require_both_sides(job.train, split="train", needs_dataset_fakes=needs_fakes)
    require_both_sides(job.val, split="val", needs_dataset_fakes=False)
    pairs = training_pairs(job)
    validation = validation_sets(job.val, seed=job.seed)
    trainer = Trainer(start_network(job.params), pairs, job.params, seed=job.seed, device=job.device)
    result = trainer.fit(validation, checkpoints, on_epoch)
    return TrainedDetector(
        network=result.network, spec=_finish_spec(job, result.network, validation), fit=result
    )


def training_pairs(job: TrainingJob) -> PairDataset:
    """Return the samples that the job trains on."""
    return PairDataset(
        job.train, PairSpec(mix=job.params.fake_mix, augment=job.params.augment, seed=job.seed)
    )


def network_spec(params: TrainParams) -> NetworkSpec:
    """Return the network that the parameters describe."""
    return NetworkSpec(
        variant=params.variant,
        backbone=params.backbone,
        pooling=params.pooling,
        srm_learnable=params.srm_learnable,
        dropout=params.dropout,
    )


def start_network(params: TrainParams) -> DetectorNetwork:
    """Return the network to train: with ImageNet weights, or those of the packaged or another model folder.

    Where a model folder holds another variant, the streams that both have are taken over.
    """
    spec = network_spec(params)
    if params.start_from == "imagenet":
        return create_network(spec, imagenet=True)
    folder = packaged_model_dir() if params.start_from == "packaged" else Path(params.start_from)
    donor, donor_spec = load_network(folder)
    if donor_spec.network.backbone != spec.backbone:
        return create_network(spec, imagenet=True)
    network = create_network(spec)
    weights = {name: tensor for name, tensor in donor.state_dict().items() if _fits(network, name, tensor)}
    missing = network.load_state_dict(weights, strict=False).missing_keys
    if any(name.startswith("streams.") and ".backbone." in name for name in missing):
        imagenet = create_network(spec, imagenet=True)
        imagenet.load_state_dict(weights, strict=False)
        return imagenet
    return network


def _fits(network: DetectorNetwork, name: str, tensor: torch.Tensor) -> bool:
    own = network.state_dict().get(name)
    return own is not None and own.shape == tensor.shape


def _finish_spec(
    job: TrainingJob, network: DetectorNetwork, validation: dict[str, LabelledImages]
) -> DetectorSpec:
    spec = DetectorSpec(
        network=network_spec(job.params),
        normalisation=NORMALISATION,
        extraction=job.extraction,
        aggregation=AGGREGATION,
        calibration=IDENTITY,
        operating_points={},
        trained_on=job.trained_on,
    )
    logits, is_fake = calibration_scores(job, network, validation, spec)
    calibration = fit_platt(logits, is_fake)
    measured_on = (
        f"validation: {int((~is_fake).sum())} real and {int(is_fake.sum())} fake, {'+'.join(validation)}"
    )
    points = operating_points(logits, is_fake, calibration, measured_on=measured_on)
    return spec.model_copy(update={"calibration": calibration, "operating_points": points})


def calibration_scores(
    job: TrainingJob, network: DetectorNetwork, validation: dict[str, LabelledImages], spec: DetectorSpec
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return logits and labels to calibrate on: the files of the split, and the forgeries made from it."""
    parts = [_media_logits(job.val, score(network, job.val.images, job.device), spec)]
    for kind, images in validation.items():
        if kind != "dataset":
            parts.append((score(network, images.images, job.device), images.is_fake))
    return np.concatenate([logits for logits, _ in parts]), np.concatenate([labels for _, labels in parts])


def _media_logits(
    faces: FaceSet, logits: NDArray[np.float64], spec: DetectorSpec
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    media, first, inverse = np.unique(faces.media_ids, return_index=True, return_inverse=True)
    values = [
        aggregate(logits[inverse == i], faces.track_ids[inverse == i], spec).logit for i in range(len(media))
    ]
    return np.array(values), faces.is_fake[first]
