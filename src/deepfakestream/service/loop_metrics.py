"""The state of the loop for `/metrics`: drift, retraining, and quality where true labels are known.

Other processes make that state: drift checks and retrainings. It is read from the workspace's files at each
scrape, so that it survives restarts and is the same in every service process.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deepfakestream.host.database import Database
from deepfakestream.jobs.feedback import read_labels
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.drift_report import SIGN, STATUSES, DriftReport
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.settings import Settings

LABELS_EVERY_S = 60.0
"""Labels are counted again after so long; all other state at each scrape."""
_OUTCOMES = ("running", "promoted", "held", "failed")
_logger = logging.getLogger(__name__)


class LoopMetrics(Collector):
    """Reads the state of one workspace's loop; what does not exist yet has no number."""

    def __init__(
        self,
        settings: Settings,
        database: Callable[[], Database],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where to look.

        Args:
            settings: of the workspace.
            database: gives the job store, which holds the true labels.
            clock: seconds.
        """
        self._settings = settings
        self._database = database
        self._clock = clock
        self._labelled: tuple[float, Counter[tuple[str, str, str]]] | None = None

    def render(self) -> bytes:
        """Return the state as Prometheus reads it."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; one whose source cannot be read now is left out and logged."""
        for part in (self._drift, self._last_check, self._retraining, self._labels):
            try:
                yield from list(part())
            except Exception:
                _logger.exception("state of the loop: one part cannot be read")

    def _drift(self) -> Iterator[Metric]:
        gauge = partial(GaugeMetricFamily, labels=["version"])
        status = gauge(
            "deepfakestream_drift_status",
            "1 for what the newest drift check found: ok, drift, too_few, no_champion",
            labels=["status", "version"],
        )
        share = gauge("deepfakestream_drift_share", "Share of drifted columns in the newest drift check")
        number = gauge("deepfakestream_drifted_columns", "Drifted columns in the newest drift check")
        psi = gauge(
            "deepfakestream_drift_psi",
            "PSI of a column in the newest drift check",
            labels=["column", "version"],
        )
        threshold = gauge(
            "deepfakestream_drift_psi_threshold",
            "PSI from which that column counts as drifted",
            labels=["column", "version"],
        )
        distance = gauge(
            "deepfakestream_drift_embedding_distance",
            "Distance of the embeddings from the reference in the newest drift check",
        )
        limit = gauge(
            "deepfakestream_drift_embedding_threshold", "Distance from which the embeddings count as drifted"
        )
        performance = GaugeMetricFamily(
            "deepfakestream_performance",
            "Performance on the traffic, expected from scores or measured on labelled files",
            labels=["basis", "metric", "bound", "version"],
        )
        path = self._settings.drift_report_file
        if path.exists():
            report = DriftReport.model_validate_json(path.read_text(encoding="utf-8"))
            version = report.model_version
            for each in STATUSES:
                status.add_metric([each, version], float(report.status == each))
            if report.status in ("ok", "drift"):
                share.add_metric([version], report.share)
                number.add_metric([version], len(report.drifted))
            for column in report.columns:
                if column.value is not None and column.threshold is not None:
                    psi.add_metric([column.name, version], column.value)
                    threshold.add_metric([column.name, version], column.threshold)
            if report.embedding.distance is not None and report.embedding.threshold is not None:
                distance.add_metric([version], report.embedding.distance)
                limit.add_metric([version], report.embedding.threshold)
            _add_performance(performance, report)
        yield from (status, share, number, psi, threshold, distance, limit, performance)

    def _last_check(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "deepfakestream_drift_check_timestamp_seconds", "When the newest drift check was completed"
        )
        settings = self._settings
        if settings.alerts_db.exists():
            sign = AlertBook(settings.alerts_db, directory=settings.alerts_dir).last_sign(SIGN)
            if sign is not None:
                family.add_metric([], sign.seen_at.timestamp())
        yield family

    def _retraining(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "deepfakestream_retraining_timestamp_seconds",
            "When the newest retraining with this outcome ended, or the running one began; 0: never",
            labels=["outcome"],
        )
        refused = GaugeMetricFamily(
            "deepfakestream_retrainings_refused", "Retrainings refused since the last one that was allowed"
        )
        if self._settings.governor_db.exists():
            governor = RetrainGovernor(self._settings.governor_db)
            newest = governor.newest_by_outcome(datetime.now(UTC))
            for outcome in _OUTCOMES:
                family.add_metric([outcome], newest[outcome].timestamp() if outcome in newest else 0.0)
            refused.add_metric([], governor.num_refused_in_a_row())
        yield from (family, refused)

    def _labels(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "deepfakestream_labelled_predictions",
            "Predictions whose true label is known from feedback",
            labels=["version", "label", "verdict"],
        )
        now = self._clock()
        if self._labelled is None or now - self._labelled[0] >= LABELS_EVERY_S:
            self._labelled = (now, self._count_labelled())
        for (version, label, verdict), count in sorted(self._labelled[1].items()):
            family.add_metric([version, label, verdict], count)
        yield family

    def _count_labelled(self) -> Counter[tuple[str, str, str]]:
        labels = read_labels(self._database())
        if not labels:
            return Counter()
        with PredictionLog(self._settings.prediction_database_url) as log:
            answers = log.verdicts(list(labels))
        return Counter(
            (version, labels[prediction_id], verdict) for prediction_id, (version, verdict) in answers.items()
        )


def _add_performance(family: GaugeMetricFamily, report: DriftReport) -> None:
    """Add the numbers with their bounds, each by whether it is expected or measured."""
    found = report.performance
    for basis, numbers in (("expected", found.expected), ("measured", found.measured)):
        for metric, estimate in numbers.items():
            for bound, value in estimate.model_dump().items():
                if value is not None:
                    family.add_metric([basis, metric, bound, report.model_version], value)
