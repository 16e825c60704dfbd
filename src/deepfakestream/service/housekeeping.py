"""What the service does on the side: fills the prediction log, removes what has expired, counts the queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from deepfakestream.jobs.types import Analysis
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.result import ScanResult
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.stores import Stores

CHANNEL = "http"
LOG_EVERY_S = 1.0
EXPIRE_EVERY_S = 30.0
SWEEP_EVERY_S = 600.0
PARTS_AT_ONCE = 20
"""Parts of the oldest predictions that are removed before something else has its turn."""
_PAUSE_S = 0.1
_LOG = logging.getLogger(__name__)


class Housekeeper:
    """A thread of the service process, which owns the workspace's prediction log."""

    def __init__(
        self,
        stores: Stores,
        log: PredictionLog,
        metrics: ServiceMetrics,
        *,
        predictions_kept_d: float,
        measure: Callable[[], None],
    ) -> None:
        """Bind the parts.

        Args:
            stores: what is cared for.
            log: gets the verdicts on videos.
            metrics: count them.
            predictions_kept_d: days that predictions stay in the log; 0: always.
            measure: is called every second, to record what is in work.
        """
        self._stores = stores
        self._log = log
        self._metrics = metrics
        self._kept_d = predictions_kept_d
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
                    self._remove_old_predictions()
                    expire_at = now + EXPIRE_EVERY_S
                if now >= sweep_at:
                    self._stores.caretaker.remove_strays()
                    sweep_at = now + SWEEP_EVERY_S
            except Exception:  # noqa: BLE001 - a store that is away now will be back
                _LOG.exception("housekeeping failed; tried again soon")
                self._stop.wait(5.0)
            self._stop.wait(LOG_EVERY_S)

    def _remove_old_predictions(self) -> None:
        if not self._kept_d:
            return
        moment = datetime.now(UTC) - timedelta(days=self._kept_d)
        for _ in range(PARTS_AT_ONCE):
            # The pause lets those in who append: SQLite has no queue of writers.
            if not self._log.remove_before(moment) or self._stop.wait(_PAUSE_S):
                return

    def _append(self, analysis: Analysis) -> None:
        result = ScanResult.model_validate(analysis.result)
        self._log.append(result, prediction_id=analysis.id, channel=CHANNEL, client=analysis.owner)
        times_s = {stage: ms / 1000 for stage, ms in analysis.timings_ms.items()}
        self._metrics.predicted(result, times_s)
