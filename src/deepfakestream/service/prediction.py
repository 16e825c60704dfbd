"""One image to one answer: checked, scanned, logged, counted. Runs in a worker thread."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from deepfakestream.errors import ServerError, WeightsError, WrongKindError
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.pictures import Pictures
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
        self,
        path: Path,
        *,
        analysis_id: str,
        owner: str,
        model: ServedModel,
        request_id: str,
        accepted_at: float,
        pictures: Pictures | None = None,
    ) -> Prediction:
        """Return the answer for one image, after it was appended to the prediction log.

        Args:
            path: the upload.
            analysis_id: id of the answer.
            owner: who sent the image.
            model: the model that answers.
            request_id: id of the request.
            accepted_at: `time.perf_counter()` when the upload was complete.
            pictures: gets pictures of the image and its faces.

        Raises:
            Refused: the file is no image or cannot be scanned, the model failed, or nothing reads media or
                the prediction log does not answer.
        """
        times = {"queue": time.perf_counter() - accepted_at}
        try:
            result = model.engine.scan(path, name=UPLOAD_NAME, times=times, kind="image", pictures=pictures)
        except WrongKindError as error:
            self._metrics.refused("content_mismatch")
            raise Refused(problems.content_mismatch(found=error.found, expected="image")) from error
        except WeightsError as error:
            self._metrics.not_a_number()
            _LOG.error("request %s: %s", request_id, error)
            raise Refused(problems.internal()) from error
        except ServerError as error:
            _LOG.error("request %s: %s", request_id, error)
            raise Refused(problems.decoder_unavailable()) from error
        if result.media is None:
            reason = result.reasons[0]
            self._metrics.refused(str(reason))
            raise Refused(problems.unusable_media(reason, result.message))
        times["total"] = time.perf_counter() - accepted_at
        prediction = Prediction(
            **dict(result),
            id=analysis_id,
            prediction_id=analysis_id,
            request_id=request_id,
            timings_ms={stage: round(1000 * seconds, 2) for stage, seconds in times.items()},
        )
        try:
            self._log.append(prediction, prediction_id=prediction.id, channel=CHANNEL, client=owner)
        except ServerError as error:
            _LOG.error("request %s: the prediction log cannot be written: %s", request_id, error)
            raise Refused(problems.store_unavailable()) from error
        self._metrics.predicted(result, times)
        return prediction
