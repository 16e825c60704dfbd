"""A training job: what the parameters describe, with the faces of its splits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from deepfakestream.data.extraction.crop_assembly import spec_differences
from deepfakestream.errors import DataError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.model.spec import read_spec
from deepfakestream.model.tower.sources import TOWER_NAME
from deepfakestream.training.detector import TrainingJob
from deepfakestream.training.distributed import DistributedContext, processes_here
from deepfakestream.training.heap import keep_freed_memory
from deepfakestream.training.params import TrainParams
from deepfakestream.training.split_faces import face_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class CropFolders:
    """Where a training finds its crops, and where it keeps them decoded."""

    extract_dir: Path
    faces_dir: Path
    cache_dir: Path | None = None
    """Folder that an image tower was fetched to; None: the user's cache folder."""


@contextmanager
def open_job(
    table: pd.DataFrame,
    params: TrainParams,
    folders: CropFolders,
    *,
    extraction: ExtractionSpec,
    seed: int,
    context: DistributedContext,
    digest: str,
) -> Iterator[TrainingJob]:
    """Give the training that the parameters describe on rows of the crop table, its faces in mapped files.

    From here on this process computes with the cores that `train.samples.num_workers` leaves.

    Args:
        table: rows of the crop table.
        params: of the training.
        folders: of the crops.
        extraction: how the crops must have been made.
        seed: of everything random.
        context: the processes that train together.
        digest: of the data, as the model's spec notes it.

    Raises:
        DataError: the split `train` or `val` has no crop, a shard is missing or damaged, or the crops were
            made with other parameters.
    """
    keep_freed_memory()
    # Threads that wait for a core spin: on 2 cores, 2 threads next to 2 workers ran at half of 1's speed.
    cores = (os.cpu_count() or 1) // processes_here()
    torch.set_num_threads(max(1, cores - params.samples.num_workers))
    if differences := spec_differences(extraction, folders.extract_dir):
        raise DataError(
            "params.yaml: section extract is not what the crops were made with "
            f"({'; '.join(differences)}), so the model would claim crops that it never saw; make them again "
            "with 'dvc repro', or change it back"
        )
    sources = ", ".join(sorted(table["source"].unique()))
    with face_sets(
        table,
        extract_dir=folders.extract_dir,
        faces_dir=folders.faces_dir,
        crop_scale=extraction.crop_scale,
    ) as sets:
        yield TrainingJob(
            train=sets["train"],
            val=sets["val"],
            params=params,
            extraction=extraction,
            seed=seed,
            context=context,
            cache_dir=folders.cache_dir,
            trained_on=f"{sources} (data {digest[:12]}), {_ancestry(params)}",
        )


def _ancestry(params: TrainParams) -> str:
    """Return what the weights owe to others, with what those were trained on: their terms are inherited."""
    start = params.network.start_from
    if params.network.variant == "tower":
        return f"layer norms tuned of {TOWER_NAME}"
    origin = "ImageNet" if start == "imagenet" else f"{start} ({_trained_on(start)})"
    taught_by = params.extra.distill.teacher
    taught = f", taught by {taught_by} ({_trained_on(taught_by)})" if taught_by else ""
    return f"started from {origin} weights{taught}"


def _trained_on(model: str) -> str:
    return read_spec(named_model_dir(model)).trained_on
