"""Compare the newest predictions with the champion's reference; tell the governor and, on drift, a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from deepfakestream.errors import DataError
from deepfakestream.evaluation.files import REFERENCE_FILE
from deepfakestream.host.locks import in_turn
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.monitoring.alerts import Alert, keep_page, raise_alert
from deepfakestream.monitoring.drift import check
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.episodes import DriftEpisodes, Event
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.registry.champion import Champion, find_champion
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

RUNBOOK = "docs/MONITORING.md#driftconfirmed"
_LOCK_FILE = "drift.lock"


def run(params: DriftParams, *, settings: Settings, champion: Champion | None = None) -> DriftReport:
    """Check the newest predictions of the champion and write `artifacts/drift`.

    A window that drifted is recorded for the governor once: a check that sees fewer than `min_window` new
    predictions looks at the same window again. Drift that goes on is one episode: an alert at its beginning,
    a reminder a day, and one when it is over. Checks of several processes take turns: two at once would take
    each other's page away, and count nearly the same window twice. While no champion is registered, as in a
    new workspace, the status is `no_champion`.

    Args:
        params: window sizes and thresholds.
        settings: where log, governor, alerts and artifacts are.
        champion: whose predictions and reference to compare; default: the registry's champion.

    Raises:
        DataError: the champion has no drift reference.
        ServerError: the registry does not answer.
    """
    champion = champion or find_champion(mlflow_store(settings))
    with in_turn(settings.work_dir / _LOCK_FILE, notice="another drift check runs; waiting for it"):
        return _check(params, settings, champion)


def _check(params: DriftParams, settings: Settings, champion: Champion) -> DriftReport:
    version = champion.version
    current = PredictionLog(settings.prediction_log_db).newest(
        params.window_size, model_version=version, max_client_share=params.max_client_share
    )
    governor = RetrainGovernor(settings.governor_db)
    report = check(
        current,
        None if version == PACKAGED_VERSION else read_reference(champion.directory),
        params,
        out_dir=settings.artifacts_dir / "drift",
        model_version=version,
        window_id=window_id(current, governor.last_window_id(version), min_new=params.min_window),
    )
    now = datetime.now(UTC)
    episodes = DriftEpisodes(settings.governor_db)
    event = episodes.event(report, now)
    if event:
        _alert(
            event, report, settings, now
        )  # before the record: a kill between the two alerts twice, not never
    governor.record_window(report, now)
    if event:
        episodes.record(event, report, now)
    return report


def read_reference(directory: Path) -> pd.DataFrame:
    """Return the drift reference of a model folder, one row a test file.

    Raises:
        DataError: the folder has none, or it cannot be read.
    """
    path = directory / REFERENCE_FILE
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: missing or no drift reference; evaluate and promote a version, it brings its own"
        ) from error


def window_id(current: pd.DataFrame, last: str | None, *, min_new: int) -> str:
    """Return the id of the window: its newest prediction, or `last` where too few predictions are new.

    Args:
        current: the window, one row a prediction, oldest first.
        last: id of the window that was recorded before.
        min_new: predictions after `last` that make another window.
    """
    ids = current["prediction_id"].tolist()
    if not ids:
        return ""
    num_new = len(ids) - 1 - ids.index(last) if last in ids else len(ids)
    return last if last is not None and num_new < min_new else str(ids[-1])


def _alert(event: Event, report: DriftReport, settings: Settings, now: datetime) -> None:
    """Raise the alert with a copy of the page next to it: the next check replaces the page itself."""
    is_over = event == "drift.over"
    alert = Alert(
        kind=event,
        summary=f"model version {report.model_version}: {report.reason}",
        severity="info" if is_over else "ticket",
        advice="nothing is to be done" if is_over else "open the report: which columns drifted?",
        runbook=RUNBOOK,
        raised_at=now,
        facts=report.model_dump(mode="json"),
    )
    kept = keep_page(report.html, alert, settings.alerts_dir.resolve()) if report.html else None
    if kept is not None:
        alert = alert.model_copy(update={"facts": {**alert.facts, "html": str(kept)}})
    raise_alert(alert, directory=settings.alerts_dir, webhook_url=settings.alert_webhook_url)
