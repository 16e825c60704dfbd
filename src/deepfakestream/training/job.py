"""A training job: what the parameters describe, with the faces of its splits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch

from deepfakestream.data.extraction.crop_assembly import spec_differences
from deepfakestream.errors import DataError
from deepfakestream.faces.extraction import spec_from_params
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.model.spec import read_spec
from deepfakestream.params import Params, TrainParams
from deepfakestream.training.detector import TrainingJob
from deepfakestream.training.distributed import Team, processes_here
from deepfakestream.training.heap import keep_freed_memory
from deepfakestream.training.split_faces import face_sets


@contextmanager
def open_job(
    table: pd.DataFrame, params: Params, *, extract_dir: Path, faces_dir: Path, team: Team, digest: str
) -> Iterator[TrainingJob]:
    """Give the training that the parameters describe on rows of the crop table, its faces in mapped files.

    From here on this process computes with the cores that `train.num_workers` leaves.

    Args:
        table: rows of the crop table.
        params: all of the workspace.
        extract_dir: folder with the crops.
        faces_dir: folder for the decoded faces.
        team: the processes that train together.
        digest: of the data, as the model's spec notes it.

    Raises:
        DataError: the split `train` or `val` has no crop, a shard is missing or damaged, or the crops were
            made with other parameters.
    """
    keep_freed_memory()
    # Threads that wait for a core spin: on 2 cores, 2 threads beside 2 workers ran at half of 1's speed.
    cores = (os.cpu_count() or 1) // processes_here()
    torch.set_num_threads(max(1, cores - params.train.num_workers))
    extraction = spec_from_params(params.extract)
    if differences := spec_differences(extraction, extract_dir):
        raise DataError(
            "params.yaml: section extract is not what the crops were made with "
            f"({'; '.join(differences)}), so the model would claim crops that it never saw; make them anew "
            "with 'dvc repro', or change it back"
        )
    sources = ", ".join(sorted(table["source"].unique()))
    with face_sets(
        table, extract_dir=extract_dir, faces_dir=faces_dir, crop_scale=extraction.crop_scale
    ) as sets:
        yield TrainingJob(
            train=sets["train"],
            val=sets["val"],
            params=params.train,
            extraction=extraction,
            seed=params.seed,
            team=team,
            trained_on=f"{sources} (data {digest[:12]}), {_ancestry(params.train)}",
        )


def _ancestry(params: TrainParams) -> str:
    """Return what the weights owe to others, with what those were trained on: their terms are inherited."""
    start = params.start_from
    told = "ImageNet" if start == "imagenet" else f"{start} ({_trained_on(start)})"
    taught_by = params.distill.teacher
    taught = f", taught by {taught_by} ({_trained_on(taught_by)})" if taught_by else ""
    return f"started from {told} weights{taught}"


def _trained_on(model: str) -> str:
    return read_spec(named_model_dir(model)).trained_on
