from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.governor import ClaimAnswer, RetrainGovernor, RetrainOutcome
from deepfakestream.monitoring.governor_rules import ClaimRequest
from deepfakestream.monitoring.params import RetrainParams
from deepfakestream.pipeline.retrain import RetrainReport, attempt
from deepfakestream.pipeline.stages import STAGES
from deepfakestream.pipeline.trigger import Trigger
from deepfakestream.settings import Settings

RULES = RetrainParams(windows=(1, 1), cooldown_h=0, max_per_week=9)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path)


class Workshop:
    """A workspace whose stages only note that they ran."""

    def __init__(
        self, settings: Settings, *, outcome: RetrainOutcome = "promoted", fails_at: str = ""
    ) -> None:
        self.done: list[str] = []
        self.trigger: Trigger | None = None
        self.answers: list[ClaimAnswer] = []
        self._settings = settings
        self._outcome = outcome
        self._fails_at = fails_at

    def retrain(self, *, force: bool = False) -> RetrainReport:
        request = ClaimRequest(model_version="3", occasion="drift", force=force)
        with attempt(RULES, settings=self._settings, request=request) as current:
            self.trigger = current.trigger
            said = current.run_steps(self.run_stage, self._promote)
        return RetrainReport(current.decision, said)

    def run_stage(self, stage: str) -> None:
        if stage == self._fails_at:
            raise DataError(f"{stage} failed")
        self.done.append(stage)

    def _promote(self) -> tuple[RetrainOutcome, str]:
        self.done.append("promote")
        return self._outcome, f"the gate says {self._outcome}"


class Impatient(Workshop):
    """Asks for another retraining during each stage."""

    def run_stage(self, stage: str) -> None:
        self.answers.append(Workshop(self._settings).retrain(force=True).decision)


def record_drift(settings: Settings, window_id: str) -> None:
    report = DriftReport(
        status="drift",
        model_version="3",
        n_current=60,
        n_reference=90,
        share=1,
        window_id=window_id,
        reason="",
    )
    RetrainGovernor(settings.governor_db).record_window(report, datetime.now(UTC))


def test_without_drift_nothing_runs_and_the_reason_is_said(settings):
    shop = Workshop(settings)
    report = shop.retrain()
    assert shop.done == []
    assert report.describe().splitlines() == [
        "retrain: refused by the governor",
        "  0 of the last 0 windows of version 3 drifted; 1 of 1 are needed (retrain.windows)",
    ]


def test_force_needs_no_drift(settings):
    shop = Workshop(settings)
    assert shop.retrain(force=True).decision.allowed
    assert shop.done == [*STAGES, "promote"]


@pytest.mark.parametrize("outcome", ["promoted", "held"])
def test_drift_causes_one_retraining(outcome, settings):
    record_drift(settings, "a")
    shop = Workshop(settings, outcome=outcome)
    report = shop.retrain()
    assert report.promotion == f"the gate says {outcome}"
    assert not shop.retrain().decision.allowed
    assert shop.done == [*STAGES, "promote"]


def test_stages_are_given_what_started_them(settings):
    shop = Workshop(settings)
    claim = shop.retrain(force=True).decision.claim_id
    assert shop.trigger is not None
    assert (shop.trigger.occasion, shop.trigger.claim) == ("drift", claim)


def test_a_failed_stage_stops_the_work_and_the_claim_is_given_back(settings):
    record_drift(settings, "a")
    shop = Workshop(settings, fails_at="train")
    with pytest.raises(DataError):
        shop.retrain()
    assert shop.done == ["extract", "validate"]
    assert Workshop(settings).retrain().decision.allowed


def test_while_one_runs_another_is_refused(settings):
    record_drift(settings, "a")
    shop = Impatient(settings)
    shop.retrain()
    assert len(shop.answers) == len(STAGES)
    assert not any(answer.allowed for answer in shop.answers)


def alerted(settings: Settings) -> list[tuple[str, str]]:
    book = AlertBook(settings.alerts_db, directory=settings.alerts_dir)
    return [(alert.kind, alert.state) for alert in reversed(book.newest(99))]


def test_alerts_tell_a_retraining_that_fails_and_the_next_that_does_not(settings):
    record_drift(settings, "a")
    with pytest.raises(DataError):
        Workshop(settings, fails_at="train").retrain()
    Workshop(settings).retrain()
    assert alerted(settings) == [
        ("retrain.started", "once"),
        ("retrain.failed", "begins"),
        ("retrain.started", "once"),
        ("retrain.failed", "over"),
    ]


def test_three_refusals_in_a_row_are_one_alert_until_one_is_allowed(settings):
    for _ in range(5):
        Workshop(settings).retrain()
    assert alerted(settings) == [("retrain.refused", "begins")]
    record_drift(settings, "a")
    Workshop(settings).retrain()
    Workshop(settings).retrain()
    assert alerted(settings)[1:] == [("retrain.refused", "over"), ("retrain.started", "once")]
