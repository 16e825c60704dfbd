"""What the service does on the side: here, how long predictions stay in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring import prediction_log
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.result import ScanResult
from deepfakestream.service.housekeeping import Housekeeper
from deepfakestream.sqlite_url import sqlite_url

RESULT = ScanResult(
    file="x", verdict="likely_real", p_fake=0.1, interval=None, reasons=(), tracks=(), media=None,
    model=ModelInfo(name="detector", version="3", weights_sha256="ab"), features={},
    operating_point="balanced",
    threshold=OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val"),
)  # fmt: skip


class NothingToDo:
    """A job store in which nothing has finished or expired."""

    def __init__(self) -> None:
        self.rounds = 0

    def log_finished(self, append: Callable[..., None]) -> int:
        self.rounds += 1
        return 0

    def remove_expired(self) -> int:
        return 0

    def remove_strays(self) -> None:
        pass


def aged_log(tmp_path: Path, *ages_d: float) -> PredictionLog:
    moments = iter(datetime.now(UTC) - timedelta(days=age) for age in ages_d)
    log = PredictionLog(sqlite_url(tmp_path / "p.db"), clock=lambda: next(moments).timestamp())
    for age in ages_d:
        log.append(RESULT, prediction_id=f"{age} days", channel="http")
    return log


def run_until(holds: Callable[[], bool], keeper: Housekeeper) -> None:
    keeper.start()
    try:
        deadline = time.monotonic() + 60.0
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        keeper.stop()


def housekeeper(log: PredictionLog, caretaker: NothingToDo, kept_d: float) -> Housekeeper:
    stores: Any = SimpleNamespace(caretaker=caretaker)
    metrics: Any = None  # nothing is counted here
    return Housekeeper(stores, log, metrics, predictions_kept_d=kept_d, measure=lambda: None)


def test_predictions_that_are_too_old_are_removed_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "REMOVED_AT_ONCE", 1)
    log = aged_log(tmp_path, 40.0, 31.0, 29.0, 1.0)
    run_until(lambda: log.count() == 2, housekeeper(log, NothingToDo(), 30.0))
    assert list(log.newest(9)["prediction_id"]) == ["29.0 days", "1.0 days"]
    log.close()


def test_without_a_limit_all_predictions_stay(tmp_path: Path) -> None:
    log, caretaker = aged_log(tmp_path, 4000.0), NothingToDo()
    keeper = housekeeper(log, caretaker, 0.0)
    run_until(lambda: caretaker.rounds > 0, keeper)  # a round that has begun is ended by `stop`
    assert log.count() == 1
    log.close()
