"""Everything that a running service holds, made when it starts and not when it is imported."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import IO, get_args

from deepfakestream.media.types import MediaBudget, MediaKind
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scan.engine import ScanEngine, open_engine
from deepfakestream.sections import read_section
from deepfakestream.service import problems
from deepfakestream.service.admission import Policy, UploadSlots
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import ModelSource, RegistrySource
from deepfakestream.service.models import EngineFactory, ModelProvider
from deepfakestream.service.params import ServeParams
from deepfakestream.service.prediction import Predictor
from deepfakestream.service.problems import Refused
from deepfakestream.service.schemas import Prediction
from deepfakestream.service.uploads import remove_leftovers, stored
from deepfakestream.settings import Settings, load_settings

IMAGES_PATH = "/v1/images"
VIDEOS_PATH = "/v1/videos"
SCAN_TIMEOUT_S = 100.0
"""Longest time from a complete upload to its answer."""
DECODE_BUDGET_S = 60.0
LOOK_FOR_CLIENT_S = 1.0
"""How often a request that waits looks whether its client still does."""
_MULTIPART_BYTES = 4096
"""Room for the multipart headers around a file of the largest size."""
_LOG = logging.getLogger(__name__)


class Runtime:
    """Settings, model, prediction log and worker threads of one service process."""

    def __init__(
        self,
        *,
        settings: Callable[[], Settings] = load_settings,
        source: Callable[[Settings], ModelSource] = RegistrySource,
        open_engine: EngineFactory | None = None,
        metrics: Callable[[], ServiceMetrics] = ServiceMetrics,
        scan_timeout_s: float = SCAN_TIMEOUT_S,
    ) -> None:
        """Remember how to make the parts; nothing is read or loaded before `start`.

        Args:
            settings: gives the settings.
            source: makes the source of models.
            open_engine: opens a model folder; default: the engine of the package scan.
            metrics: makes the metrics; the default registers them in the process's registry.
            scan_timeout_s: longest time from a complete upload to its answer.
        """
        self._load_settings = settings
        self._make_source = source
        self._open_engine = open_engine or self._open
        self._make_metrics = metrics
        self.scan_timeout_s = scan_timeout_s
        self.slots = UploadSlots()

    @cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._load_settings()

    @cached_property
    def params(self) -> ServeParams:
        """The `serve` section of the workspace's `params.yaml`."""
        return read_section(self.settings.params_file, "serve", ServeParams)

    @cached_property
    def metrics(self) -> ServiceMetrics:
        """The service's own metrics."""
        return self._make_metrics()

    @cached_property
    def provider(self) -> ModelProvider:
        """Keeps the champion loaded."""
        return ModelProvider(self._make_source(self.settings), self._open_engine, self.metrics)

    @cached_property
    def policy(self) -> Policy:
        """What may come in."""
        return Policy(
            upload_bytes={
                IMAGES_PATH: self.params.max_image_bytes + _MULTIPART_BYTES,
                VIDEOS_PATH: self.params.max_video_bytes + _MULTIPART_BYTES,
            },
            max_concurrency=self.params.max_concurrency,
        )

    @cached_property
    def _budget(self) -> MediaBudget:
        return MediaBudget(
            max_pixels=self.params.max_pixels,
            max_duration_s=self.params.max_duration_s,
            max_wall_s=DECODE_BUDGET_S,
        )

    @cached_property
    def _predictor(self) -> Predictor:
        log = PredictionLog(self.settings.prediction_log_db)
        return Predictor(log=log, metrics=self.metrics)

    @cached_property
    def _workers(self) -> Mapping[MediaKind, ThreadPoolExecutor]:
        """Threads of each kind: a picture takes a moment and does not queue behind videos."""
        count = max(1, min(self.params.max_concurrency, len(os.sched_getaffinity(0))))
        return {
            kind: ThreadPoolExecutor(count, thread_name_prefix=f"scan-{kind}") for kind in get_args(MediaKind)
        }

    @property
    def ready(self) -> bool:
        """Whether a model that passed its canary can answer."""
        return self.provider.current is not None

    def check(self) -> None:
        """See that the service could start here, without loading anything.

        Raises:
            ParamsError: settings or parameters are wrong.
            DataError: the prediction log cannot be used.
        """
        _ = self.policy
        PredictionLog(self.settings.prediction_log_db)

    def start(self) -> None:
        """Open the prediction log and load a model in the background.

        Raises:
            ParamsError: settings or parameters are wrong.
            DataError: the prediction log cannot be used.
        """
        _ = self._predictor, self._workers, self.policy
        remove_leftovers()
        self.provider.start(self.settings.model_poll_s)

    def stop(self) -> None:
        """End the threads; scans that run are waited for."""
        self.provider.stop()
        for workers in self._workers.values():
            workers.shutdown(wait=True, cancel_futures=True)

    async def predict(
        self,
        content: IO[bytes],
        *,
        kind: MediaKind,
        request_id: str,
        is_gone: Callable[[], Awaitable[bool]],
    ) -> Prediction:
        """Return the answer for an upload.

        Args:
            content: the file.
            kind: what the endpoint takes.
            request_id: goes into the answer.
            is_gone: whether the client closed the connection; its scan is given up if it has not begun.

        Raises:
            Refused: there is no model yet, the file cannot be scanned, the scan took too long, or nobody
                waits for it any more.
        """
        model = self.provider.current
        if model is None:
            raise Refused(problems.not_ready(self.policy.retry_after_s))
        accepted_at = time.perf_counter()

        def scan() -> Prediction:
            with stored(content) as path:
                return self._predictor.predict(
                    path, kind=kind, model=model, request_id=request_id, accepted_at=accepted_at
                )

        work = self._workers[kind].submit(scan)
        answer = asyncio.wrap_future(work)
        while True:
            left_s = self.scan_timeout_s - (time.perf_counter() - accepted_at)
            await asyncio.wait({answer}, timeout=min(LOOK_FOR_CLIENT_S, max(0.0, left_s)))
            if answer.done():
                return answer.result()
            if left_s <= 0:
                self._give_up(work)
                _LOG.warning("request %s: no answer within %g s", request_id, self.scan_timeout_s)
                raise Refused(problems.deadline(self.scan_timeout_s))
            if await is_gone():
                self._give_up(work)
                _LOG.info("request %s: the client went away", request_id)
                raise Refused(problems.client_gone())

    def _give_up(self, work: Future[Prediction]) -> None:
        """Cancel a scan that waits for a thread; count one that runs as in work until it ends."""
        if work.cancel():
            return
        self.slots.hold()
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self.slots.leave))

    def _open(self, directory: Path, version: str) -> ScanEngine:
        return open_engine(
            directory,
            version,
            operating_point=self.params.operating_point,
            device=self.settings.device,
            detector_weights=self.settings.retinaface_r50_weights,
            budget=self._budget,
        )
