"""What the service counts, for `/metrics`; the names are listed in docs/MONITORING.md.

BentoML's own numbers have every path that anybody asks for as a label, so that strangers decide how many
there are. Ours have the paths of the endpoints, and one more for all others.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from deepfakestream.jobs.queue import QueueState
from deepfakestream.jobs.types import MediaKind
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.scanning.result import ScanResult

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STAGE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class ServiceMetrics:
    """The service's Prometheus metrics."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        """Register the metrics; once a registry."""
        self._registry = registry
        self._requests = Counter(
            "deepfakestream_requests",
            "Requests that were answered",
            ["method", "endpoint", "status"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "deepfakestream_request_seconds",
            "Time from a request's headers to the begin of its answer",
            ["endpoint"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._predictions = Counter(
            "deepfakestream_predictions",
            "Predictions that were made, late ones too",
            ["kind", "verdict"],
            registry=registry,
        )
        self._p_fake = Histogram(
            "deepfakestream_p_fake",
            "Calibrated scores of the predictions that were made",
            buckets=[tenth / 10 for tenth in range(1, 11)],
            registry=registry,
        )
        self._stages = Histogram(
            "deepfakestream_stage_seconds",
            "Time by stage of a prediction",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._shed = Counter(
            "deepfakestream_shed", "Requests refused at the door", ["reason"], registry=registry
        )
        self._refused = Counter(
            "deepfakestream_refused", "Files that could not be scanned", ["reason"], registry=registry
        )
        self._nan = Counter("deepfakestream_nan", "Scores that were not numbers", registry=registry)
        self._loads = Counter(
            "deepfakestream_model_loads", "Attempts to load a model", ["outcome"], registry=registry
        )
        for outcome in ("served", "failed"):  # at 0 from the start, or the first would be no increase
            self._loads.labels(outcome)
        self._now = _Gauges(registry)

    def predicted(self, result: ScanResult, times_s: Mapping[str, float]) -> None:
        """Count an answer and the time of its stages.

        Args:
            result: of the scan.
            times_s: stage to its seconds.
        """
        kind = result.media.kind if result.media else "unknown"
        self._predictions.labels(kind, result.verdict).inc()
        if result.p_fake is not None:
            self._p_fake.observe(result.p_fake)
        for stage, seconds in times_s.items():
            self._stages.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """Return all numbers as Prometheus reads them: of every process, where BentoML runs several."""
        if self._registry is REGISTRY and "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            together = CollectorRegistry()
            multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            return generate_latest(together)
        return generate_latest(self._registry)

    def answered(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: of the request; those that HTTP does not know count as one.
            endpoint: path of an endpoint as documented, or `other`.
            status: of the answer.
            seconds: from the headers of the request to the begin of the answer.
        """
        known = method if method in _METHODS else "other"
        self._requests.labels(known, endpoint, str(status)).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def queue(self, state: QueueState) -> None:
        """Record how much waits and who works."""
        self._now.queue.labels("queued").set(state.num_queued)
        self._now.queue.labels("running").set(state.num_running)
        self._now.workers.set(state.num_workers)

    def work(self, kind: MediaKind, seconds: Collection[float], *, budget_s: float) -> None:
        """Record how long the scans of a kind have been in work.

        Args:
            kind: of the media.
            seconds: since the begin of each.
            budget_s: longest time that one may take.
        """
        self._now.oldest.labels(kind).set(max(seconds, default=0.0))
        self._now.overdue.labels(kind).set(sum(each > budget_s for each in seconds))

    def ready(self, *, ready: bool) -> None:
        """Record whether the service can answer."""
        self._now.ready.set(ready)

    def shed(self, reason: str) -> None:
        """Count a request that was refused before its file was looked at."""
        self._shed.labels(reason).inc()

    def refused(self, reason: str) -> None:
        """Count a file that could not be scanned."""
        self._refused.labels(reason).inc()

    def not_a_number(self) -> None:
        """Count a score that was not a number."""
        self._nan.inc()

    def model_failed(self) -> None:
        """Count a model that could not be loaded or failed its canary."""
        self._loads.labels("failed").inc()

    def champion_waits(self, *, waits: bool) -> None:
        """Record whether the registry has a champion that does not answer."""
        self._now.champion_waits.set(waits)

    def model_serves(self, model: ModelInfo, previous: ModelInfo | None) -> None:
        """Record which model answers from now on.

        Args:
            model: that answers now.
            previous: that answered before, if any.
        """
        self._loads.labels("served").inc()
        if previous is not None:
            self._now.model.labels(previous.name, previous.version, previous.weights_sha256).set(0)
        self._now.model.labels(model.name, model.version, model.weights_sha256).set(1)


class _Gauges:
    """What is so now; where BentoML runs several processes, of those that live."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.champion_waits = Gauge(
            "deepfakestream_champion_waits",
            "1 while the registry's champion is not the model that answers",
            multiprocess_mode="livemostrecent",  # a worker that died in a load has left its 1 behind
            registry=registry,
        )
        self.queue = Gauge(
            "deepfakestream_jobs",
            "Videos in the job store by state: queued, running",
            ["state"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.oldest = Gauge(
            "deepfakestream_oldest_work_seconds",
            "Time since the oldest scan in work was begun; 0 where none is",
            ["kind"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.overdue = Gauge(
            "deepfakestream_overdue_work",
            "Scans in work for longer than a scan may take",
            ["kind"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.ready = Gauge(
            "deepfakestream_ready",
            "1 while the service can answer, as /readyz says",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.workers = Gauge(
            "deepfakestream_job_workers",
            "Workers that were seen within half a minute",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.model = Gauge(
            "deepfakestream_model_info",
            "1 for the model that answers, 0 for models that did",
            ["name", "version", "weights_sha256"],
            multiprocess_mode="livemax",
            registry=registry,
        )
