from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from safetensors.torch import load_file, save_file

from deepfakestream.errors import DataError
from deepfakestream.host.locks import exclusive
from deepfakestream.model.folder import WEIGHTS_FILE
from deepfakestream.training.detector import TrainingJob
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.loop import EpochMetrics
from deepfakestream.training.params import FakeMix, TrainParams
from deepfakestream.training.search import NUM_UNPRUNED, search, suggest


@pytest.fixture
def job(
    face_set: Callable[..., FaceSet],
    params: Callable[..., TrainParams],
    make_job: Callable[..., TrainingJob],
    write_untrained: Callable[..., Path],
    tmp_path: Path,
) -> TrainingJob:
    """A training of one epoch that starts from a folder of its own."""
    chosen = params(epochs=1, batch_size=4, start_from=str(tmp_path / "start"))
    write_untrained(tmp_path / "start", chosen)
    faces = face_set(num_groups=4, num_faked=4)
    return make_job(faces, faces, chosen)


class Records:
    """What a tracking server would have received."""

    def __init__(self) -> None:
        self.changes: dict[int, dict[str, Any]] = {}
        self.epochs: list[tuple[int, int]] = []
        self.cut_off: set[int] = set()
        self.failed: set[int] = set()

    @contextmanager
    def open_trial(self, number: int, changes: dict[str, Any]) -> Iterator[Record]:
        self.changes[number] = changes
        try:
            yield Record(number, self)
        except BaseException:
            self.failed.add(number)
            raise


class Record:
    """One trial's part of them."""

    def __init__(self, number: int, records: Records) -> None:
        self._number, self._records = number, records

    def on_epoch(self, epoch: int, metrics: EpochMetrics) -> None:
        assert 0.0 <= metrics["val_auc"] <= 1.0
        self._records.epochs.append((self._number, epoch))

    def cut_off(self) -> None:
        self._records.cut_off.add(self._number)


class TestSpace:
    @pytest.mark.parametrize("forged_only", [False, True])
    def test_every_point_is_a_valid_training(
        self, params: Callable[..., TrainParams], forged_only: bool
    ) -> None:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(40):
            changes = suggest(study.ask(), forged_only=forged_only)  # type: ignore[arg-type]
            chosen = params().changed(changes)
            assert (chosen.samples.fake_mix.dataset == 0.0) == forged_only
            assert chosen.optimisation.learning_rate == changes["optimisation"]["learning_rate"]


def test_one_search_at_a_time(job: TrainingJob, tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "s.lock", doing="searching"),
        pytest.raises(DataError, match="another process is searching"),
    ):
        search(job, num_trials=1, database=tmp_path / "s.db", name="x", open_trial=Records().open_trial)


def test_a_trial_that_diverges_does_not_end_the_search(job: TrainingJob, tmp_path: Path) -> None:
    records = Records()
    weights = Path(job.params.network.start_from) / WEIGHTS_FILE
    broken = load_file(weights)
    broken["head.weight"] *= torch.nan
    save_file(broken, weights)
    with pytest.raises(DataError, match="no trial finished"):
        search(job, num_trials=2, database=tmp_path / "s.db", name="x", open_trial=records.open_trial)
    assert set(records.changes) == records.failed == {0, 1}


@pytest.mark.slow
def test_a_trial_that_is_cut_off_did_not_fail(job: TrainingJob, tmp_path: Path) -> None:
    """The study holds trials that no training can keep up with, so that the median cuts this one off."""
    database = tmp_path / "s.db"
    study = optuna.create_study(study_name="x", storage=f"sqlite:///{database}", direction="maximize")
    for _ in range(NUM_UNPRUNED):
        better = study.ask()
        suggest(better, forged_only=False)
        for epoch in range(3):
            better.report(2.0, epoch)
        study.tell(better, 2.0)
    longer = replace(job, params=job.params.changed({"optimisation": {"epochs": 3}}))
    records = Records()
    found = search(
        longer, num_trials=NUM_UNPRUNED + 1, database=database, name="x", open_trial=records.open_trial
    )
    assert found.num_pruned == 1
    assert records.epochs == [(NUM_UNPRUNED, 0), (NUM_UNPRUNED, 1)]
    assert (records.cut_off, records.failed) == ({NUM_UNPRUNED}, set())


def test_a_set_without_fakes_is_searched_with_forgeries(
    job: TrainingJob, face_set: Callable[..., FaceSet], tmp_path: Path
) -> None:
    """Each trial asked for fakes of the data set, whatever the mix it started from."""
    faces = face_set(num_groups=3, num_faked=0)
    forged = FakeMix(dataset=0.0, self_blend=1.0, swap=0.0)
    params = job.params.changed({"samples": {"fake_mix": forged}})
    alone = replace(job, train=faces, val=faces, params=params)
    found = search(alone, num_trials=1, database=tmp_path / "s.db", name="x", open_trial=Records().open_trial)
    assert found.best_changes["samples"]["fake_mix"]["dataset"] == 0.0


@pytest.mark.slow
def test_two_trials_then_two_more(job: TrainingJob, tmp_path: Path) -> None:
    """The second call goes on with the study; what a kill left running is not waited for."""
    records = Records()
    arguments: dict[str, Any] = {"database": tmp_path / "s.db", "name": "x", "open_trial": records.open_trial}
    first = search(job, num_trials=2, **arguments)
    assert (first.num_finished, set(records.changes)) == (2, {0, 1})
    killed = optuna.load_study(study_name="x", storage=f"sqlite:///{tmp_path / 's.db'}").ask()
    more = search(job, num_trials=3, **arguments)
    assert more.num_finished + more.num_pruned == 3
    assert set(records.changes) == {0, 1, killed.number + 1}
    assert records.epochs == [(number, 0) for number in records.changes]
    assert len({changes["optimisation"]["learning_rate"] for changes in records.changes.values()}) == 3
    assert more.best_changes == records.changes[more.best_number]
    assert more.best_auc >= first.best_auc
