"""From faces to a finished detector: training, calibration, operating points, spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deepfakestream.errors import DataError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.aggregation import media_logit
from deepfakestream.model.calibration import IDENTITY, operating_points
from deepfakestream.model.network import NORMALISATION, STREAMS, DetectorNetwork, join_networks
from deepfakestream.model.selection import choose_aggregation, choose_calibration
from deepfakestream.model.spec import DetectorSpec, Variant
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.distillation import open_teacher
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet, require_both_sides
from deepfakestream.training.head import refit_head
from deepfakestream.training.loop import EpochMetrics, FitResult, Trainer
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import TrainParams
from deepfakestream.training.start import start_network
from deepfakestream.training.validation import LabelledImages, logits_of, measure_kinds, validation_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """Everything that one training needs."""

    train: FaceSet
    val: FaceSet
    params: TrainParams
    extraction: ExtractionSpec
    seed: int
    context: DistributedContext
    trained_on: str
    """Goes into the spec: data, and what its terms ask of a user of the weights."""
    cache_dir: Path | None = None
    """Folder that an image tower was fetched to; None: the user's cache folder."""


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

    Of several processes this is what rank 0 does; the others call `fit_network`.

    Args:
        job: faces, parameters and context.
        checkpoints: where the training goes on from, and saves to.
        on_epoch: is called after each epoch with its number and metrics.

    Raises:
        DataError: a split lacks a class that the parameters ask for, or the checkpoint is damaged.
        DivergedError: the loss or a validation score is no longer a number.
        ParamsError: the backbone or the start is unknown, or the parameters do not fit device or context.
        WeightsError: the weights to start from cannot be had or do not fit.
    """
    validation = validation_pictures(job)
    result = fit_network(job, validation, checkpoints, on_epoch)
    return TrainedDetector(
        network=result.network, spec=_finish_spec(job, result.network, validation), fit=result
    )


def fit_network(
    job: TrainingJob,
    validation: dict[str, LabelledImages],
    checkpoints: CheckpointStore,
    on_epoch: Callable[[int, EpochMetrics], None],
) -> FitResult:
    """Train and choose the best epoch on validation; every process of a context does this at the same time.

    With `train.extra.streams: separate` the streams of a network are trained one after the other, each as a
    network of its own, and joined at the end. The history has the epochs of each, then the joined network.

    Args:
        job: faces, parameters and context.
        validation: pictures by kind.
        checkpoints: where the training goes on from, and saves to.
        on_epoch: is called after each epoch with its number and metrics.

    Raises:
        DataError: the split `train` lacks a class that the parameters ask for, or the checkpoint is damaged.
        DivergedError: the loss or a validation score is no longer a number.
        ParamsError: the backbone or the start is unknown, or the parameters do not fit device, context or
            teacher.
        WeightsError: the weights to start from, or the teacher's, cannot be had or do not fit.
    """
    if job.params.extra.streams == "separate" and len(STREAMS[job.params.network.variant]) > 1:
        return _fit_streams(job, validation, checkpoints, on_epoch)
    pairs = training_pairs(job)
    torch.manual_seed(job.seed)  # the head starts random
    teacher = open_teacher(job.params.extra.distill, job.extraction, job.context.device)
    network = start_network(job.params, job.cache_dir)
    trainer = Trainer(network, pairs, job.params, seed=job.seed, context=job.context, teacher=teacher)
    result = trainer.fit(validation, checkpoints, on_epoch)
    if not job.params.extra.refit_head_pairs:
        return result
    return _finished(job, result.network, list(result.history), validation, on_epoch)


def _fit_streams(
    job: TrainingJob,
    validation: dict[str, LabelledImages],
    checkpoints: CheckpointStore,
    on_epoch: Callable[[int, EpochMetrics], None],
) -> FitResult:
    parts: dict[Variant, DetectorNetwork] = {}
    history: list[EpochMetrics] = []

    def record(_: int, metrics: EpochMetrics) -> None:
        on_epoch(len(history), metrics)
        history.append(metrics)

    for name in STREAMS[job.params.network.variant]:
        params = job.params.changed({"network": {"variant": name}, "extra": {"refit_head_pairs": 0}})
        parts[name] = fit_network(
            replace(job, params=params), validation, checkpoints.of_part(name), record
        ).network
    network = join_networks(parts, job.params.network.spec).to(job.context.device)
    return _finished(job, network, history, validation, on_epoch)


def _finished(
    job: TrainingJob,
    network: DetectorNetwork,
    history: list[EpochMetrics],
    validation: dict[str, LabelledImages],
    on_epoch: Callable[[int, EpochMetrics], None],
) -> FitResult:
    """Return the network with its last layer refitted where that is asked for, measured once more."""
    if job.params.extra.refit_head_pairs:
        draws = list(draws_for_the_head(job))
        refit_head(network, draws, num_workers=job.params.samples.num_workers, context=job.context)
    metrics = job.context.broadcast(measure_kinds(network, validation, job.context))
    on_epoch(len(history), metrics)
    return FitResult(network=network, best_epoch=len(history), history=(*history, metrics))


def draws_for_the_head(job: TrainingJob) -> Iterator[tuple[PairDataset, DrawSampler]]:
    """Yield this process's part of pairs that training does not draw, half with light augmentation."""
    num_draws = -(-job.params.extra.refit_head_pairs // 2)
    share = (job.context.rank, job.context.size)
    # Another seed, other pairs: an epoch's number would not do where an epoch is several passes.
    for seed, augment in enumerate((job.params.samples.augment, "light"), start=job.seed + 1):
        params = job.params.changed({"samples": {"augment": augment}})
        pairs = training_pairs(replace(job, params=params, seed=seed))
        yield pairs, DrawSampler(pairs, num_draws=num_draws, seed=seed, share=share)


def training_pairs(job: TrainingJob) -> PairDataset:
    """Return the samples that the job trains on.

    Raises:
        DataError: the split `train` lacks a class that the parameters ask for.
    """
    mix = job.params.samples.fake_mix
    require_both_sides(job.train, split="train", needs_dataset_fakes=mix.dataset > 0)
    return PairDataset(
        job.train,
        PairSpec(
            mix=mix,
            augment=job.params.samples.augment,
            seed=job.seed,
            without=job.params.extra.augment_without,
        ),
    )


def validation_pictures(job: TrainingJob) -> dict[str, LabelledImages]:
    """Return the pictures that decide between epochs, by kind; at least one kind.

    Raises:
        DataError: the split `val` has neither fakes and reals nor two faces to forge from.
    """
    require_both_sides(job.val, split="val", needs_dataset_fakes=False)
    validation = validation_sets(job.val, seed=job.seed)
    if not validation:
        raise DataError(
            "split 'val' has neither fakes and reals nor two faces with a mesh, so nothing can be "
            "validated; ingest more source groups or change ingest.split_salt"
        )
    return validation


def _finish_spec(
    job: TrainingJob, network: DetectorNetwork, validation: dict[str, LabelledImages]
) -> DetectorSpec:
    faces = job.val
    face_logits = logits_of(network, faces.images, job.context.device)
    spec = DetectorSpec(
        network=job.params.network.spec,
        normalisation=NORMALISATION,
        extraction=job.extraction,
        aggregation=choose_aggregation(face_logits, faces.media_ids, faces.track_ids, faces.is_fake),
        calibration=IDENTITY,
        operating_points={},
        trained_on=job.trained_on,
    )
    logits, is_fake, conditions = _calibration_scores(job, network, validation, spec, face_logits)
    calibration = choose_calibration(logits, is_fake)
    measured_on = (
        f"validation: {int((~is_fake).sum())} real and {int(is_fake.sum())} fake, {'+'.join(validation)}"
    )
    points = operating_points(logits, is_fake, calibration, measured_on=measured_on, conditions=conditions)
    return spec.model_copy(update={"calibration": calibration, "operating_points": points})


def _calibration_scores(
    job: TrainingJob,
    network: DetectorNetwork,
    validation: dict[str, LabelledImages],
    spec: DetectorSpec,
    face_logits: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.str_]]:
    """Return logits, labels and conditions to calibrate on: the split's files, and what was made of them."""
    parts = {"dataset": _media_logits(job.val, face_logits, spec)}
    for kind, images in validation.items():
        if kind != "dataset":
            parts[kind] = logits_of(network, images.images, job.context.device), images.is_fake
    logits, labels = zip(*parts.values(), strict=True)
    conditions = np.repeat(list(parts), [len(each) for each in labels])
    return np.concatenate(logits), np.concatenate(labels), conditions


def _media_logits(
    faces: FaceSet, logits: NDArray[np.float64], spec: DetectorSpec
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    media, first, inverse = np.unique(faces.media_ids, return_index=True, return_inverse=True)
    values = [
        media_logit(logits[inverse == i], faces.track_ids[inverse == i], spec.aggregation)
        for i in range(len(media))
    ]
    return np.array(values), faces.is_fake[first]
