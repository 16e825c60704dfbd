"""What the service does on the side: fills the prediction log, removes what has expired, counts the queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from deepfakestream.jobs.types import Analysis
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.result import ScanResult
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.stores import Stores

CHANNEL = "http"
LOG_EVERY_S = 1.0
EXPIRE_EVERY_S = 30.0
SWEEP_EVERY_S = 600.0
_LOG = logging.getLogger(__name__)


class Housekeeper:
    """A thread of the service process, which owns the workspace's prediction log."""

    def __init__(
        self,
        stores: Stores,
        log: PredictionLog,
        metrics: ServiceMetrics,
        *,
        measure: Callable[[], None],
    ) -> None:
        """Bind the parts.

        Args:
            stores: what is cared for.
            log: gets the verdicts on videos.
            metrics: count them.
            measure: is called every second, to record what is in work.
        """
        self._stores = stores
        self._log = log
        self._metrics = metrics
        self._measure = measure
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; removes what killed processes left first."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns once it has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30.0)

    def _run(self) -> None:
        expire_at = sweep_at = 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            try:
                self._stores.caretaker.log_finished(self._append)
                self._measure()
                if now >= expire_at:
                    self._stores.caretaker.remove_expired()
                    expire_at = now + EXPIRE_EVERY_S
                if now >= sweep_at:
                    self._stores.caretaker.remove_strays()
                    sweep_at = now + SWEEP_EVERY_S
            except Exception:  # noqa: BLE001 - a store that is away now will be back
                _LOG.exception("housekeeping failed; tried again soon")
                self._stop.wait(5.0)
            self._stop.wait(LOG_EVERY_S)

    def _append(self, analysis: Analysis) -> None:
        result = ScanResult.model_validate(analysis.result)
        self._log.append(result, prediction_id=analysis.id, channel=CHANNEL, client=analysis.owner)
        times_s = {stage: ms / 1000 for stage, ms in analysis.timings_ms.items()}
        self._metrics.predicted(result, times_s)
