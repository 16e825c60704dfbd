"""Search for training parameters with Optuna: short trainings, hopeless ones cut off, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from deepfakestream.errors import DataError, DivergedError
from deepfakestream.host.locks import exclusive
from deepfakestream.sqlite_url import sqlite_url
from deepfakestream.training.checkpoint import CheckpointStore
from deepfakestream.training.detector import TrainingJob, fit_network, validation_pictures
from deepfakestream.training.loop import EpochMetrics
from deepfakestream.training.validation import LabelledImages

if TYPE_CHECKING:
    import optuna

NUM_UNPRUNED = 4
"""Trials that run to their end before the median of the finished ones may cut others off."""


class TrialRecord(Protocol):
    """Where a trial is noted while it runs."""

    def on_epoch(self, epoch: int, metrics: EpochMetrics) -> None:
        """Note what an epoch came to.

        Args:
            epoch: number, from 0.
            metrics: of validation.
        """

    def cut_off(self) -> None:
        """Note that the trial ends early, as others did better by then: no failure."""


TrainChanges = dict[str, dict[str, Any]]
"""Group of `train` to the values in it that differ."""

TrialRun = Callable[[int, TrainChanges], AbstractContextManager[TrialRecord]]
"""Opens the record of a trial, given its number and what it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a study found, trials of earlier calls included."""

    num_finished: int
    num_pruned: int
    best_number: int
    best_auc: float
    """Mean validation AUC of the best trial's best epoch."""
    best_changes: TrainChanges


def suggest(trial: optuna.Trial, *, forged_only: bool) -> TrainChanges:
    """Return what a trial changes of `train` in params.yaml: the whole search space is here.

    Args:
        trial: what is drawn from.
        forged_only: draw no share for fakes of the dataset.
    """
    swap = trial.suggest_float("swap", 0.0, 0.3)
    self_blend = 1.0 - swap if forged_only else trial.suggest_float("self_blend", 0.2, 0.7)
    dataset = 0.0 if forged_only else 1.0 - self_blend - swap
    return {
        "network": {"drop_rate": trial.suggest_float("drop_rate", 0.0, 0.5)},
        "optimisation": {
            "learning_rate": trial.suggest_float("learning_rate", 5e-5, 2e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.1, log=True),
            "optimizer": trial.suggest_categorical("optimizer", ["adamw", "lamb"]),
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.1),
            "ema_decay": trial.suggest_categorical("ema_decay", [0.99, 0.995, 0.998]),
        },
        "samples": {"fake_mix": {"dataset": dataset, "self_blend": self_blend, "swap": swap}},
        "extra": {"loss": trial.suggest_categorical("loss", ["bce", "focal"])},
    }


def search(
    job: TrainingJob, *, num_trials: int, database: Path, name: str, open_trial: TrialRun
) -> SearchResult:
    """Try until the study has `num_trials` trials, those of earlier calls included.

    A trial that a kill cut off counts as failed and is replaced. Each trial trains with the job's seed, so
    that trials differ by their parameters alone.

    Args:
        job: the training; its parameters are where the trials start from.
        num_trials: trials that the study shall have.
        database: SQLite file of studies.
        name: of the study; other data or other parameters to start from need another name.
        open_trial: see `TrialRun`.

    Raises:
        DataError: another process searches with this database, or a split cannot be learnt from.
        ParamsError: the parameters do not fit the data or the device.
        WeightsError: the weights to start from cannot be had.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    validation = validation_pictures(job)
    with (
        exclusive(database.with_suffix(".lock"), doing="searching"),
        _study(database, name, job.seed) as study,
    ):
        tried = [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]
        study.optimize(
            lambda trial: _worth(trial, job, validation, open_trial),
            n_trials=max(0, num_trials - len(tried)),
        )
        return _result(study, forged_only=_forged_only(job))


def _forged_only(job: TrainingJob) -> bool:
    """Tell whether the trials start from a mix without fakes of the dataset: it may hold none."""
    return job.params.samples.fake_mix.dataset == 0


def _worth(
    trial: optuna.Trial, job: TrainingJob, validation: dict[str, LabelledImages], open_trial: TrialRun
) -> float:
    """Return the validation AUC of the network that the trial's parameters give."""
    import optuna

    changes = suggest(trial, forged_only=_forged_only(job))
    params = job.params.changed(changes)
    best = 0.0  # of a stream or an epoch: what may cut the trial off, not what it is worth
    with open_trial(trial.number, changes) as record, TemporaryDirectory() as folder:

        def on_epoch(epoch: int, metrics: EpochMetrics) -> None:
            nonlocal best
            record.on_epoch(epoch, metrics)
            best = max(best, metrics["val_auc"])
            trial.report(best, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        checkpoints = CheckpointStore(directory=Path(folder))
        try:
            fit = fit_network(replace(job, params=params), validation, checkpoints, on_epoch)
        except optuna.TrialPruned as error:
            record.cut_off()
            pruned = error
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        else:
            return fit.history[fit.best_epoch]["val_auc"]
    raise pruned  # here, as the record of a trial that did not fail ends without an error


@contextmanager
def _study(database: Path, name: str, seed: int) -> Iterator[optuna.Study]:
    import optuna

    storage = optuna.storages.RDBStorage(sqlite_url(database))
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=NUM_UNPRUNED, n_warmup_steps=1),
        )
        # A sampler's stream starts again with every call: the same seed again would repeat the first trials.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study
    finally:
        storage.engine.dispose()


def _result(study: optuna.Study, *, forged_only: bool) -> SearchResult:
    import optuna

    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not finished:
        raise DataError(f"study '{study.study_name}': no trial finished; run more trials")
    best = study.best_trial
    return SearchResult(
        num_finished=len(finished),
        num_pruned=len(study.get_trials(states=(optuna.trial.TrialState.PRUNED,))),
        best_number=best.number,
        best_auc=float(study.best_value),
        best_changes=suggest(
            optuna.trial.FixedTrial(best.params),  # type: ignore[arg-type]
            forged_only=forged_only,
        ),
    )
