"""One upload to one answer: checked, scanned, logged, counted. Runs in a worker thread."""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from pathlib import Path

from deepfakestream.errors import WeightsError, WrongKindError
from deepfakestream.media.types import MediaKind
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.service import problems
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.models import ServedModel
from deepfakestream.service.problems import Refused
from deepfakestream.service.schemas import Prediction

UPLOAD_NAME = "upload"
"""What results call the file."""
CHANNEL = "http"
_LOG = logging.getLogger(__name__)


class Predictor:
    """Answers uploads with the model that it is given for each."""

    def __init__(self, *, log: PredictionLog, metrics: ServiceMetrics) -> None:
        self._log = log
        self._metrics = metrics

    def predict(
        self, path: Path, *, kind: MediaKind, model: ServedModel, request_id: str, accepted_at: float
    ) -> Prediction:
        """Return the answer for one file, after it was appended to the prediction log.

        Args:
            path: the upload.
            kind: what the endpoint takes.
            model: the model that answers.
            request_id: id of the request.
            accepted_at: `time.perf_counter()` when the upload was complete.

        Raises:
            Refused: the file is not of the kind or cannot be scanned, or the model failed.
        """
        times = {"queue": time.perf_counter() - accepted_at}
        try:
            result = model.engine.scan(path, name=UPLOAD_NAME, times=times, kind=kind)
        except WrongKindError as error:
            self._metrics.refused("content_mismatch")
            raise Refused(problems.content_mismatch(found=error.found, expected=kind)) from error
        except WeightsError as error:
            self._metrics.not_a_number()
            _LOG.error("request %s: %s", request_id, error)
            raise Refused(problems.internal()) from error
        if result.media is None:
            reason = result.reasons[0]
            self._metrics.refused(str(reason))
            raise Refused(problems.unusable_media(reason, result.message))
        times["total"] = time.perf_counter() - accepted_at
        prediction = Prediction(
            **dict(result),
            prediction_id=uuid.uuid4().hex,
            request_id=request_id,
            timings_ms={stage: round(1000 * seconds, 2) for stage, seconds in times.items()},
        )
        try:
            self._log.append(prediction, prediction_id=prediction.prediction_id, channel=CHANNEL)
        except sqlite3.Error as error:
            _LOG.exception("request %s: the prediction log cannot be written", request_id)
            raise Refused(problems.internal()) from error
        self._metrics.predicted(result, times)
        return prediction
