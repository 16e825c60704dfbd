"""Compare the newest predictions with the champion's reference; tell the governor and, on drift, a person."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from deepfakestream.errors import DataError, DeepfakeStreamError
from deepfakestream.evaluation.files import REFERENCE_FILE
from deepfakestream.host.locks import in_turn
from deepfakestream.jobs.feedback import read_labels
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.model.embedding import from_bytes
from deepfakestream.model.packaged import PACKAGED_VERSION
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.monitoring.drift import check
from deepfakestream.monitoring.drift_report import SIGN, DriftReport
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.performance import Performance, expected_performance, with_measured
from deepfakestream.monitoring.prediction_log import FEATURES, PredictionLog
from deepfakestream.registry.champion import Champion, find_champion
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store, open_alerter

LOCK_FILE = "drift.lock"
"""In `work/`: held during a check, and while the history of checks is opened."""
MAX_SINGLE_ROWS = 2000
"""Newest predictions of the window that are looked at one by one, and not column by column."""
_KIND = "drift.confirmed"
_logger = logging.getLogger(__name__)


def run(params: DriftParams, *, settings: Settings, champion: Champion | None = None) -> DriftReport:
    """Check the newest predictions of the champion and write `artifacts/drift`.

    A window that drifted is recorded for the governor once: a check that sees fewer than `min_window` new
    predictions looks at the same window again. Drift that goes on is one condition: an alert at its begin, a
    reminder a day, and one at its end, after two windows without drift, as one alone may be chance. Checks of
    several processes take turns: two at once would take each other's page away, and count nearly the same
    window twice. While no champion is registered, as in a new workspace, the status is `no_champion`.

    Args:
        params: window sizes and thresholds.
        settings: where log, governor, alerts and artifacts are.
        champion: whose predictions and reference to compare; default: the registry's champion.

    Raises:
        DataError: the champion has no drift reference.
        ServerError: the registry does not answer.
    """
    champion = champion or find_champion(mlflow_store(settings))
    with in_turn(settings.work_dir / LOCK_FILE, notice="another drift check runs; waiting for it"):
        return _check(params, settings, champion)


def _check(params: DriftParams, settings: Settings, champion: Champion) -> DriftReport:
    version = champion.version
    with PredictionLog(settings.prediction_database_url) as log:
        read = partial(log.newest, model_version=version, max_client_share=params.max_client_share)
        of_all = ("prediction_id", "verdict", "p_fake", *FEATURES)
        of_single = ("threshold", "media_sha256", "client", "features")
        if params.window_size <= MAX_SINGLE_ROWS:
            current = newest = read(params.window_size, columns=(*of_all, *of_single))
        else:  # the embeddings of all rows would take much memory
            current = read(params.window_size, columns=of_all)
            newest = read(MAX_SINGLE_ROWS, columns=("p_fake", *of_single))
        newest = newest.rename(columns={"features": "embedding"})
        performance = _performance(log, newest, params, settings, version)
    governor = RetrainGovernor(settings.governor_db)
    reference = None if version == PACKAGED_VERSION else read_reference(champion.directory)
    report = check(
        current,
        reference,
        params,
        out_dir=settings.artifacts_dir / "drift",
        model_version=version,
        newest=newest,
        performance=performance,
        window_id=window_id(current, governor.last_window_id(version), min_new=params.min_window),
    )
    alerter = open_alerter(settings)
    if report.status == "drift":
        _alert(report, alerter, settings)
    elif report.status == "ok" and governor.is_calm(report):
        alerter.end(_condition(version), _KIND, f"model version {version}: the last windows did not drift")
    for condition in alerter.open_conditions():
        if condition.startswith(_condition("")) and condition != _condition(version):
            alerter.end(condition, _KIND, f"another model is champion now: version {version}")
    governor.record_window(report, datetime.now(UTC))
    if reference is not None:
        _keep(report, current, reference, settings)
    alerter.sign(SIGN, report.status)
    return report


def _performance(
    log: PredictionLog, newest: pd.DataFrame, params: DriftParams, settings: Settings, version: str
) -> Performance:
    """Return what scores and labels tell of the model; a check counts without the labels."""
    expected = expected_performance(newest, minimum=params.min_window)
    if not settings.has_job_store:
        return expected
    try:
        database = open_job_store(settings.job_database_url)
        try:
            labels = read_labels(database)
        finally:
            database.close()
    except DeepfakeStreamError as error:
        _logger.warning("%s; true labels are not counted in this drift check", error)
        return expected
    columns = ("prediction_id", "p_fake", "threshold", "media_sha256", "client", "model_version")
    answers = log.of_ids(list(labels), columns=columns)
    return with_measured(expected, answers[answers["model_version"] == version], labels)


def read_reference(directory: Path) -> pd.DataFrame:
    """Return the drift reference of a model folder, one row a test file; `embedding` is an array or None.

    Raises:
        DataError: the folder has none, or it cannot be read.
    """
    path = directory / REFERENCE_FILE
    try:
        reference = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: missing or no drift reference; evaluate and promote a version, it brings its own"
        ) from error
    if "embedding" in reference:  # not in those of earlier releases
        embeddings = [None if content is None else from_bytes(content) for content in reference["embedding"]]
        return reference.assign(embedding=pd.Series(embeddings, dtype="object"))
    return reference


def window_id(current: pd.DataFrame, last: str | None, *, min_new: int) -> str:
    """Return the id of the window: its newest prediction, or `last` where too few predictions are new.

    Args:
        current: the window, one row a prediction, oldest first.
        last: id of the window that was recorded before.
        min_new: predictions after `last` that make another window.
    """
    ids = current["prediction_id"]
    if ids.empty:
        return ""
    places = (ids == last).to_numpy().nonzero()[0]
    num_new = len(ids) - 1 - int(places[-1]) if places.size else len(ids)
    return last if last is not None and num_new < min_new else str(ids.iloc[-1])


def _keep(report: DriftReport, current: pd.DataFrame, reference: pd.DataFrame, settings: Settings) -> None:
    """Add the check to the history that people look at; a check counts without it."""
    from deepfakestream.monitoring.drift_history import DriftHistory

    history = DriftHistory(settings.drift_history_dir, settings.drift_project_id, settings.registered_model)
    try:
        history.record(report, current, reference, checked_at=datetime.now(UTC))
    except Exception:
        _logger.exception("%s: drift check not added; look at the folder", settings.drift_history_dir)


def _condition(version: str) -> str:
    return f"drift of version {version}"


def _alert(report: DriftReport, alerter: Alerter, settings: Settings) -> None:
    """Raise the alert with a copy of the page in its folder: the next check replaces the page itself."""
    condition, facts = _condition(report.model_version), report.model_dump(mode="json")
    if not alerter.is_due(condition):
        return
    if report.html is not None:
        kept = settings.alerts_dir.resolve() / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{_KIND}.html"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report.html, kept)
            facts["html"] = str(kept)
        except OSError as error:
            _logger.error("%s: page of an alert not kept (%s); check the folder", kept, error)
    summary = f"model version {report.model_version}: {report.reason}"
    links = {"drift over time": settings.drift_page_url, "flow runs": settings.prefect_page_url}
    alerter.begin(condition, _KIND, summary, links=links, facts=facts)
