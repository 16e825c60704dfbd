"""The command search: trials of training parameters on the usable crops, each a child run in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from deepfakestream.data.digests import table_digest
from deepfakestream.data.usable_crops import read_usable_crops
from deepfakestream.host.device import resolve_device
from deepfakestream.params import Params
from deepfakestream.registry.tracking import TrackedRun, start_run
from deepfakestream.settings import Settings
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.job import CropFolders, open_job
from deepfakestream.training.key import training_key
from deepfakestream.training.loop import EpochMetrics
from deepfakestream.training.search import SearchResult, TrainChanges, TrialRecord, search
from deepfakestream.wiring import mlflow_store


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """What the study found so far."""

    result: SearchResult
    database: Path
    run_id: str

    def describe(self) -> str:
        """Return the report with the best parameters as a fragment of params.yaml."""
        found = self.result
        rounded = {
            group: {
                name: float(f"{value:.3g}") if isinstance(value, float) else value
                for name, value in changes.items()
            }
            for group, changes in found.best_changes.items()
        }
        mix = {name: round(share, 3) for name, share in found.best_changes["samples"]["fake_mix"].items()}
        mix["self_blend"] = round(1.0 - mix["dataset"] - mix["swap"], 3)  # rounded shares still add up to 1
        rounded["samples"]["fake_mix"] = mix
        fragment = yaml.safe_dump({"train": rounded}, sort_keys=False).rstrip()
        return (
            f"{found.num_finished} trials finished, {found.num_pruned} were cut off; "
            f"study: {self.database}; MLflow run {self.run_id}\n"
            f"best: trial {found.best_number}, validation AUC {found.best_auc:.3f}; for params.yaml:\n"
            f"{fragment}"
        )


@dataclass(frozen=True, slots=True)
class _ChildRun:
    """A trial's record in MLflow; one that is cut off is a finished run with a tag."""

    run: TrackedRun

    def on_epoch(self, epoch: int, metrics: EpochMetrics) -> None:
        self.run.log_metrics(metrics, epoch)

    def cut_off(self) -> None:
        self.run.set_tags({"cut_off": "true"})


def run(params: Params, *, settings: Settings, num_trials: int) -> SearchReport:
    """Search until the study of these crops and parameters has `num_trials` trials; log them to MLflow.

    Each trial trains for `epochs` epochs of `steps_per_epoch` steps (`train.optimisation`); `artifacts/`
    stays as it is.

    Args:
        params: of the workspace.
        settings: of the workspace.
        num_trials: trials of the study in all, those of earlier calls included.

    Raises:
        DataError: the crops are missing, a split lacks a class, or another search runs in this workspace.
        ParamsError: backbone or device are unknown.
        WeightsError: the weights to start from cannot be had.
        ServerError: the tracking server does not answer; nothing has been done then.
    """
    context = DistributedContext(device=torch.device(resolve_device(settings.device)))
    table = read_usable_crops(settings.artifacts_dir)
    digest = table_digest(table)
    key = training_key(table, params.train, extract=params.extract, seed=params.seed)
    database = settings.work_dir / "search.db"
    with start_run(
        mlflow_store(settings), name=f"search {digest[:8]}", tags={"step": "search", "study": key}
    ) as parent:
        parent.log_params({"seed": params.seed, "train": params.train.model_dump(), "trials": num_trials})

        @contextmanager
        def open_trial(number: int, changes: TrainChanges) -> Iterator[TrialRecord]:
            name = f"trial {number}"
            with start_run(
                mlflow_store(settings), name=name, tags={"step": "search"}, parent=parent
            ) as child:
                child.log_params({"train": changes})
                yield _ChildRun(child)

        with open_job(
            table,
            params.train,
            CropFolders(extract_dir=settings.extract_dir, faces_dir=settings.faces_dir),
            extraction=params.extract.spec,
            seed=params.seed,
            context=context,
            digest=digest,
        ) as job:
            result = search(job, num_trials=num_trials, database=database, name=key, open_trial=open_trial)
        parent.log_metrics({"val_auc": result.best_auc}, result.best_number)
        parent.log_params({"best": result.best_changes})
    return SearchReport(result=result, database=database, run_id=parent.run_id)
