"""The step train: usable crops become a detector in `artifacts/train`, and a run in MLflow."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from deepfakestream.data.digests import table_digest
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.host.device import resolve_device
from deepfakestream.host.locks import exclusive
from deepfakestream.host.whole_files import replacing_folder
from deepfakestream.model.files import save_model
from deepfakestream.params import Params
from deepfakestream.pipeline.training_facts import RUN_FILE, TrainingItems
from deepfakestream.pipeline.trigger import read_trigger
from deepfakestream.registry.tracking import TrackedRun, give_up_abandoned, start_run
from deepfakestream.settings import Settings
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import (
    TrainedDetector,
    TrainingJob,
    fit_network,
    train_detector,
    training_pairs,
    validation_pictures,
)
from deepfakestream.training.distributed import DistributedContext, init_distributed
from deepfakestream.training.job import CropFolders, open_job
from deepfakestream.training.key import training_key
from deepfakestream.training.loop import EpochMetrics
from deepfakestream.training.pictures import write_pairs_picture
from deepfakestream.wiring import mlflow_store


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What was trained on what, and how well it validated."""

    num_train: int
    num_val: int
    num_epochs: int
    best_epoch: int
    best: EpochMetrics
    directory: Path
    run_id: str

    def describe(self) -> str:
        """Return the report as a few lines."""
        kinds = ", ".join(
            f"{name.removeprefix('val_auc_')} {value:.3f}"
            for name, value in self.best.items()
            if name.startswith("val_auc_")
        )
        return (
            f"trained on {self.num_train} crops; epoch {self.best_epoch + 1} of {self.num_epochs} is kept\n"
            f"validation AUC {self.best['val_auc']:.3f} over {self.num_val} crops ({kinds})\n"
            f"model: {self.directory}; MLflow run {self.run_id}"
        )


def run(params: Params, *, settings: Settings) -> TrainReport | None:
    """Train on the split `train`, choose and calibrate on `val`; write `artifacts/train`; log to MLflow.

    It holds `model.safetensors`, `model.onnx`, `spec.json`, `history.json` and `run.json`, and is replaced as
    a whole or not at all. A killed training goes on from its last epoch. Of several processes that `torchrun`
    started, one writes and gets the report; the others get None.

    Args:
        params: of the workspace.
        settings: of the workspace.

    Raises:
        DataError: the crops are missing or made with other parameters, a split lacks a class, the checkpoint
            of a killed training is damaged, or another process trains in this workspace.
        ParamsError: backbone or device are unknown.
        WeightsError: the weights to start from cannot be had.
        ServerError: the tracking server does not answer; nothing has been done then.
    """
    table = read_usable_crops(settings.artifacts_dir)
    with init_distributed(resolve_device(settings.device)) as context:
        if context.is_main:
            return _lead(table, params, settings, context)
        _follow(table, params, settings, context)
        return None


def _lead(
    table: pd.DataFrame, params: Params, settings: Settings, context: DistributedContext
) -> TrainReport:
    give_up_abandoned(mlflow_store(settings))
    manifest = read_manifest(settings.data_dir)
    digest = DvcRepo(settings.workspace).data_digest() or table_digest(table)
    checkpoints = CheckpointStore(directory=_checkpoint_dir(table, params, settings))
    name = f"train {params.train.network.variant} {digest[:8]} seed {params.seed}"
    tags = {"step": "train", **read_trigger().tags()}
    with (
        exclusive(settings.work_dir / "train.lock", doing="training in this workspace"),
        start_run(
            mlflow_store(settings), name=name, tags=tags, watch_machine=settings.system_metrics
        ) as tracked,
    ):
        with open_job(
            table,
            params.train,
            _folders(settings),
            extraction=params.extract.spec,
            seed=params.seed,
            context=context,
            digest=digest,
        ) as job:
            _log_inputs(tracked, job, params, digest, settings)

            def note(epoch: int, metrics: EpochMetrics) -> None:
                tracked.log_metrics(metrics, epoch)
                numbers = ", ".join(f"{metric} {value:.4g}" for metric, value in metrics.items())
                tqdm.write(
                    f"epoch {epoch + 1} of {params.train.optimisation.epochs}: {numbers}", file=sys.stderr
                )

            detector = train_detector(job, checkpoints, note)
            report = _report(job, detector, settings, tracked)
        learned = table.loc[table["split"] == "train", "media_id"]
        rows = manifest[manifest["media_id"].isin(learned)]
        items = TrainingItems(count=len(rows), until=str(rows["ingested_at"].max()))
        with replacing_folder(report.directory) as partial:
            save_model(detector.network, detector.spec, partial)
            _write_json(partial / "history.json", list(detector.fit.history))
            _write_json(
                partial / RUN_FILE,
                {
                    "run_id": tracked.run_id,
                    "experiment": tracked.experiment_id,
                    "training_items": items.model_dump(),
                },
            )
        tracked.log_artifact(report.directory, "model_files")
        checkpoints.remove()
    return report


def _follow(table: pd.DataFrame, params: Params, settings: Settings, context: DistributedContext) -> None:
    """Do another process's part of a training; rank 0 writes the result."""
    checkpoints = CheckpointStore(directory=_checkpoint_dir(table, params, settings))
    with open_job(
        table,
        params.train,
        _folders(settings),
        extraction=params.extract.spec,
        seed=params.seed,
        context=context,
        digest="",
    ) as job:
        fit_network(job, validation_pictures(job), checkpoints, lambda *_: None)


def _log_inputs(
    tracked: TrackedRun, job: TrainingJob, params: Params, digest: str, settings: Settings
) -> None:
    tracked.log_params(
        {
            "seed": params.seed,
            "train": params.train.model_dump(),
            "extract": params.extract.model_dump(),
            "network": params.train.network.spec.model_dump(),
            "processes": job.context.size,
            "device": str(job.context.device),
        }
    )
    tracked.log_dataset("faces-train", digest, "training")
    tracked.log_dataset("faces-val", digest, "validation")
    picture = settings.work_dir / "pictures" / f"{tracked.run_id}.png"
    write_pairs_picture(training_pairs(job), picture)
    tracked.log_artifact(picture, "examples")
    picture.unlink()


def _report(
    job: TrainingJob, detector: TrainedDetector, settings: Settings, tracked: TrackedRun
) -> TrainReport:
    return TrainReport(
        num_train=len(job.train),
        num_val=len(job.val),
        num_epochs=len(detector.fit.history),
        best_epoch=detector.fit.best_epoch,
        best=detector.fit.history[detector.fit.best_epoch],
        directory=settings.train_dir,
        run_id=tracked.run_id,
    )


def _folders(settings: Settings) -> CropFolders:
    return CropFolders(
        extract_dir=settings.extract_dir, faces_dir=settings.faces_dir, cache_dir=settings.cache_dir
    )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _checkpoint_dir(table: pd.DataFrame, params: Params, settings: Settings) -> Path:
    """Return a folder that only this very training has."""
    return (
        settings.work_dir
        / "checkpoints"
        / training_key(table, params.train, extract=params.extract, seed=params.seed)
    )
