"""The command ablate: one training for each part that is exchanged or left out, all with the same budget."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from deepfakestream.data.digests import table_digest
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.errors import DataError, ParamsError, WeightsError
from deepfakestream.evaluation.ablation import AblationReport, AblationRow, auc_with_interval, compare
from deepfakestream.host.device import resolve_device
from deepfakestream.host.locks import exclusive
from deepfakestream.host.whole_files import replacing
from deepfakestream.model.network import DetectorNetwork
from deepfakestream.params import Params
from deepfakestream.registry.tracking import TrackedRun, start_run
from deepfakestream.settings import Settings
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import TrainingJob, fit_network, validation_pictures
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.job import CropFolders, open_job
from deepfakestream.training.key import training_key
from deepfakestream.training.search import TrainChanges
from deepfakestream.training.validation import LabelledImages, logits_of
from deepfakestream.wiring import mlflow_store

CONFIGURATIONS: dict[str, TrainChanges] = {
    "as configured": {},
    "rgb": {"network": {"variant": "rgb"}},
    "srm": {"network": {"variant": "srm"}},
    "stacked": {"network": {"variant": "stacked"}},
    "dual": {"network": {"variant": "dual"}},
    "dual, separate": {"network": {"variant": "dual"}, "extra": {"streams": "separate"}},
    "ensemble, separate": {"network": {"variant": "ensemble"}, "extra": {"streams": "separate"}},
    "distilled from version 0": {"extra": {"distill": {"teacher": "packaged"}}},
    "average pooling": {"network": {"global_pool": "avg"}},
    "gwap pooling": {"network": {"global_pool": "gwap"}},
    "head refitted": {"extra": {"refit_head_pairs": 3000}},
    "without forge": {"samples": {"fake_mix": {"dataset": 1.0, "self_blend": 0.0, "swap": 0.0}}},
    "forge only": {"samples": {"fake_mix": {"dataset": 0.0, "self_blend": 0.7, "swap": 0.3}}},
    "without self-blends": {"samples": {"fake_mix": {"dataset": 0.8, "self_blend": 0.0, "swap": 0.2}}},
    "without swaps": {"samples": {"fake_mix": {"dataset": 0.65, "self_blend": 0.35, "swap": 0.0}}},
    "full augmentation": {"samples": {"augment": "full"}},
    **{
        f"without {group}": {"samples": {"augment": "full"}, "extra": {"augment_without": [group]}}
        for group in ("framing", "colour", "detail", "coding", "hidden")
    },
}
"""What each changes of `train` in params.yaml."""
TIMED_BATCH = 16
NUM_TIMINGS = 5


def run(params: Params, *, settings: Settings, only: Collection[str] = ()) -> AblationReport:
    """Train every configuration on the usable crops and measure it on the validation faces.

    What is done is kept in `work/ablation`, so that a killed run goes on. Each is a child run in MLflow. A
    configuration after the first that cannot be trained here is left out, and the report says why.

    Args:
        params: of the workspace.
        settings: of the workspace.
        only: names of configurations; empty: all.

    Raises:
        ParamsError: `only` names an unknown configuration, device or backbone are unknown, or training with
            the first configuration diverged.
        DataError: the crops are missing or made with other parameters, a split lacks a class, or another
            process ablates in this workspace.
        WeightsError: the weights to start from cannot be had.
        ServerError: the tracking server does not answer; nothing has been done then.
    """
    if unknown := set(only) - set(CONFIGURATIONS):
        raise ParamsError(
            f"--only: no configuration '{min(unknown)}'; take some of {'; '.join(CONFIGURATIONS)}"
        )
    table = read_usable_crops(settings.artifacts_dir)
    digest = table_digest(table)
    context = DistributedContext(device=torch.device(resolve_device(settings.device)))
    rows: dict[str, AblationRow] = {}
    left_out: dict[str, str] = {}
    with (
        exclusive(settings.work_dir / "ablation.lock", doing="ablating in this workspace"),
        start_run(mlflow_store(settings), name=f"ablate {digest[:8]}", tags={"step": "ablate"}) as parent,
        open_job(
            table,
            params.train,
            CropFolders(extract_dir=settings.extract_dir, faces_dir=settings.faces_dir),
            extraction=params.extract.spec,
            seed=params.seed,
            context=context,
            digest=digest,
        ) as job,
    ):
        validation = validation_pictures(job)
        for name in only or CONFIGURATIONS:
            changed = params.train.changed(CONFIGURATIONS[name])
            whole = params.model_copy(update={"train": changed})
            training = training_key(table, changed, extract=params.extract, seed=params.seed)
            key = f"{training}-{params.evaluate.num_bootstrap}"
            path = settings.work_dir / "ablation" / f"{key}.json"
            try:
                rows[name] = _kept(path) or _trained(
                    replace(job, params=changed),
                    validation,
                    path,
                    whole,
                    settings=settings,
                    name=name,
                    parent=parent,
                )
            except (DataError, ParamsError, WeightsError) as error:
                if not rows:
                    raise
                left_out[name] = str(error)
        return replace(compare(rows, validation, seed=params.seed), left_out=left_out)


def _kept(path: Path) -> AblationRow | None:
    """Return a row that is done, or None; a damaged one, or one of other fields, is done again."""
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_bytes())
        kept["auc"] = {kind: (value, low, high) for kind, (value, low, high) in kept["auc"].items()}
        return AblationRow(**kept)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _trained(
    job: TrainingJob,
    validation: dict[str, LabelledImages],
    path: Path,
    params: Params,
    *,
    settings: Settings,
    name: str,
    parent: TrackedRun,
) -> AblationRow:
    """Train a configuration as a child run, and keep its row under the path."""
    with start_run(mlflow_store(settings), name=name, tags={"step": "ablate"}, parent=parent) as child:
        child.log_params({"train": job.params.model_dump()})
        row = _row(job, validation, path.with_suffix(""), params)
        child.log_metrics({f"val_auc_{kind}": auc[0] for kind, auc in row.auc.items()})
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(row)), encoding="utf-8")
    return row


def _row(
    job: TrainingJob, validation: dict[str, LabelledImages], checkpoint_dir: Path, params: Params
) -> AblationRow:
    checkpoints = CheckpointStore(directory=checkpoint_dir)
    network = fit_network(job, validation, checkpoints, lambda *_: None).network
    logits = {kind: logits_of(network, part.images, job.context.device) for kind, part in validation.items()}
    row = AblationRow(
        auc={
            kind: auc_with_interval(
                logits[kind], part, num_bootstrap=params.evaluate.num_bootstrap, seed=params.seed
            )
            for kind, part in validation.items()
        },
        logits={kind: of_kind.tolist() for kind, of_kind in logits.items()},
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        ms_per_face=_ms_per_face(network, job),
    )
    checkpoints.remove()
    return row


def _ms_per_face(network: DetectorNetwork, job: TrainingJob) -> float:
    """Return the median time of a batch of 16 on this run's device, a face."""
    images = np.resize(job.val.images, (TIMED_BATCH, *job.val.images.shape[1:]))
    times = []
    for _ in range(NUM_TIMINGS):
        started = time.perf_counter()
        logits_of(network, images, job.context.device)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1000 / TIMED_BATCH
