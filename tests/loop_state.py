"""A workspace whose loop has a history: drift, retrainings, predictions with true labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.jobs.feedback import Feedback, Label, add_feedback
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.drift_report import SIGN, ColumnDrift, DriftReport
from deepfakestream.monitoring.embedding_drift import EmbeddingDrift
from deepfakestream.monitoring.governor import RetrainGovernor, RetrainOutcome
from deepfakestream.monitoring.governor_rules import ClaimRequest
from deepfakestream.monitoring.params import RetrainParams
from deepfakestream.monitoring.performance import Performance
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.result import ScanResult
from deepfakestream.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
VERSION = "7"
POINT = OperatingPoint(threshold=0.5, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="nothing")


def write_loop_state(settings: Settings) -> None:
    """Write it: drift found now, a retraining that failed, refusals, 30 fakes of which 20 were missed."""
    report = DriftReport(
        status="drift", model_version=VERSION, n_current=60, n_reference=90, share=0.5, window_id="p1",
        columns=(
            ColumnDrift(name="luma", kind="numerical", drifted=True, value=0.9, threshold=0.3),
            ColumnDrift(name="fps", kind="numerical", drifted=False, value=0.1, threshold=0.2),
            ColumnDrift(name="num_faces", kind="numerical", drifted=False, note="not compared"),
        ),
        embedding=EmbeddingDrift(drifted=True, distance=0.5, threshold=0.4, p_value=0.001),
        performance=Performance(
            expected={"auc": Estimate(value=0.9, low=0.8, high=0.95)}, num_expected=60,
            measured={"tpr": Estimate(value=0.5)}, num_fake=2,
        ),
        reason="1 of 2 columns drifted",
    )  # fmt: skip
    settings.drift_report_file.parent.mkdir(parents=True)
    settings.drift_report_file.write_text(report.model_dump_json(), encoding="utf-8")
    AlertBook(settings.alerts_db, directory=settings.alerts_dir).sign(SIGN, NOW, "drift")
    _retrain(settings, "promoted", NOW - timedelta(days=9))
    _retrain(settings, "failed", NOW - timedelta(days=2))
    rules = RetrainParams(max_per_week=0)
    for _ in range(2):
        RetrainGovernor(settings.governor_db).claim(_request(force=False), rules, NOW)
    for label, verdict, count in (
        ("fake", "likely_real", 20), ("fake", "likely_fake", 10), ("real", "likely_fake", 8),
        ("real", "likely_real", 12),
    ):  # fmt: skip
        for number in range(count):
            _predict(settings, f"{label}-{verdict}-{number}", verdict)
            give_label(settings, f"{label}-{verdict}-{number}", label)  # type: ignore[arg-type]
    _predict(settings, "disputed", "likely_fake")
    give_label(settings, "disputed", "real")
    give_label(settings, "disputed", "fake", source="another")


def give_label(settings: Settings, prediction_id: str, label: Label, *, source: str = "analyst") -> None:
    """Keep a true label as the service does."""
    database = open_job_store(settings.job_database_url)
    given = Feedback(
        prediction_id=prediction_id, source=source, label=label, note="", owner="me", created_at=0.0
    )
    add_feedback(database, given)
    database.close()


def _predict(settings: Settings, prediction_id: str, verdict: str) -> None:
    result = ScanResult(
        file="x", verdict=verdict, p_fake=0.7, interval=None, reasons=(), tracks=(),  # type: ignore[arg-type]
        model=ModelInfo(name="m", version=VERSION, weights_sha256="0"), operating_point="balanced",
        threshold=POINT, media=None, features={},
    )  # fmt: skip
    with PredictionLog(settings.prediction_database_url) as log:
        log.append(result, prediction_id=prediction_id, channel="http")


def _retrain(settings: Settings, outcome: RetrainOutcome, at: datetime) -> None:
    governor = RetrainGovernor(settings.governor_db)
    claim = governor.claim(_request(force=True), RetrainParams(), at)
    assert claim.claim_id is not None
    governor.finish(claim.claim_id, outcome, at)


def _request(*, force: bool) -> ClaimRequest:
    return ClaimRequest(model_version=VERSION, occasion="manual", force=force)
