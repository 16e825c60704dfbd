"""Everything that a running service holds, made when it starts and not when it is imported."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import Scope

from deepfakestream.access.keys import KeyStore
from deepfakestream.errors import DataError
from deepfakestream.jobs.analyses import Idempotency, KeyReusedError
from deepfakestream.jobs.types import MediaKind, NewAnalysis
from deepfakestream.jobs.usage import day_of, read_usage
from deepfakestream.media.isolated import IsolatedDecoding
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.pictures import Pictures
from deepfakestream.sections import read_section
from deepfakestream.service import problems
from deepfakestream.service.admission import Policy
from deepfakestream.service.callers import AccessControl, Caller
from deepfakestream.service.endpoints import IMAGES_PATH, LIVE_PATH, READY_PATH, VIDEOS_PATH, endpoint_of
from deepfakestream.service.engines import IMAGE_DECODE_S, decoding_of, engine_factory, media_budget
from deepfakestream.service.housekeeping import Housekeeper
from deepfakestream.service.loop_metrics import LoopMetrics
from deepfakestream.service.metrics import ServiceMetrics
from deepfakestream.service.model_source import ModelSource, RegistrySource
from deepfakestream.service.models import EngineFactory, ModelProvider
from deepfakestream.service.outcomes import verdict_of
from deepfakestream.service.params import ServeParams
from deepfakestream.service.pictures import keep_pictures
from deepfakestream.service.places import RunningScans, TurnedAway, WorkPlace, WorkPlaces
from deepfakestream.service.prediction import Predictor
from deepfakestream.service.problems import Refused
from deepfakestream.service.scanner import START_TIMEOUT_S
from deepfakestream.service.schemas import Prediction
from deepfakestream.service.stores import Stores, open_stores
from deepfakestream.service.uploads import Upload
from deepfakestream.settings import Settings, load_settings
from deepfakestream.wiring import open_alerter

SCAN_TIMEOUT_S = 100.0
"""Longest time from a complete image to its answer."""
HUNG_FACTOR = 3
"""After so many times that, all threads still at scans, the service does not count as alive."""
LOOK_FOR_CLIENT_S = 1.0
"""How often a request that waits looks whether its client still does."""
MIN_FREE_BYTES = 512 << 20
"""Room on the disk of the media below which no upload is taken."""
NO_WORKER_S = 30.0
"""Time that videos wait without any worker before the log says so."""
_MULTIPART_BYTES = 4096
"""Room for the multipart headers around a file of the largest size."""
_FIRST_GUESS_S = 0.5
"""Time of an image before any was scanned."""
_LOG = logging.getLogger(__name__)


class Runtime:
    """Settings, model, stores and worker threads of one service process."""

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
            scan_timeout_s: longest time from a complete image to its answer.
        """
        self._load_settings = settings
        self._make_source = source
        self._given_factory = open_engine
        self._make_metrics = metrics
        self.scan_timeout_s = scan_timeout_s
        self.places = WorkPlaces()
        self._scans = RunningScans()
        self._turned_away = TurnedAway()
        self._no_worker_since: float | None = None
        self._mean_s = _FIRST_GUESS_S

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
    def loop(self) -> LoopMetrics:
        """The state of drift, retraining and labels."""
        return LoopMetrics(self.settings, lambda: self.stores.database)

    @cached_property
    def _decoding(self) -> IsolatedDecoding | None:
        return decoding_of(self.settings)

    @cached_property
    def provider(self) -> ModelProvider:
        """Keeps the champion loaded."""
        factory = self._given_factory or engine_factory(
            self.settings,
            media_budget(self.params, IMAGE_DECODE_S),
            self.params.operating_point,
            self._decoding,
        )
        alerter = open_alerter(self.settings, sends=False)
        return ModelProvider(self._make_source(self.settings), factory, self.metrics, alerter)

    @cached_property
    def stores(self) -> Stores:
        """The job store and the media of jobs."""
        return open_stores(self.settings, self.params)

    @cached_property
    def access(self) -> AccessControl:
        """Decides who may call."""
        names = [name.strip() for name in (self.settings.allowed_hosts or "").split(",") if name.strip()]
        return AccessControl(
            self.stores.keys, mode=self.settings.access, host=self.settings.host, allowed_hosts=names
        )

    @cached_property
    def policy(self) -> Policy:
        """What may come in."""
        return Policy(
            upload_bytes={
                IMAGES_PATH: self.params.max_image_bytes + _MULTIPART_BYTES,
                VIDEOS_PATH: self.params.max_video_bytes + _MULTIPART_BYTES,
            },
            max_uploads=self.params.max_uploads,
            max_uploads_per_client=self.params.max_uploads_per_client,
            min_bytes_s=self.params.min_upload_bytes_s,
        )

    @cached_property
    def _log(self) -> PredictionLog:
        return PredictionLog(self.settings.prediction_database_url)

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(log=self._log, metrics=self.metrics)

    @cached_property
    def _num_threads(self) -> int:
        # A thread whose file another process decodes leaves its core to others meanwhile.
        cores = len(os.sched_getaffinity(0))
        return min(self.params.max_concurrency, cores if self._decoding is None else 2 * cores)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._num_threads, thread_name_prefix="scan-image")

    @cached_property
    def _housekeeper(self) -> Housekeeper:
        return Housekeeper(
            self.stores,
            self._log,
            self.metrics,
            predictions_kept_d=self.params.predictions_kept_d,
            measure=self._measure,
        )

    @property
    def not_ready(self) -> problems.Problem | None:
        """Why no image can be answered now: no model passed its canary, or every thread hangs; else None."""
        if self.provider.current is None:
            return problems.not_ready(self.policy.retry_after_s)
        return self._all_hang(self.scan_timeout_s)

    @property
    def is_alive(self) -> bool:
        """Whether a thread works or may return: False once all have hung for so long that none will."""
        return self._all_hang(HUNG_FACTOR * self.scan_timeout_s) is None

    def check(self) -> None:
        """See that the service could start here, without loading anything.

        Raises:
            ParamsError: settings or parameters are wrong.
            DataError: a store cannot be used, or keys are needed and there is none.
        """
        _ = self.policy
        PredictionLog(self.settings.prediction_database_url).close()
        stores = open_stores(self.settings, self.params)
        try:
            require_keys(self.settings, stores.keys)
        finally:
            stores.close()

    def start(self) -> None:
        """Open the stores and load a model in the background.

        Raises:
            ParamsError: settings or parameters are wrong.
            DataError: a store cannot be used.
        """
        _ = self._predictor, self._threads, self.policy, self.access
        self._housekeeper.start()
        self.provider.start(self.settings.model_poll_s)

    def stop(self) -> None:
        """End the threads; scans that run are waited for."""
        self.provider.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._housekeeper.stop()
        if self._decoding is not None:
            self._decoding.stop()
        self.stores.close()
        self._log.close()

    async def identify(self, scope: Scope, headers: Headers) -> Caller:
        """Return who sends a request.

        Args:
            scope: ASGI scope of the request.
            headers: of the request.

        Raises:
            Refused: host, site, key or rate forbid it.
        """
        self.access.check_site(scope, headers)
        return await self.access.caller(scope, headers)

    async def make_room(self, path: str, caller: Caller) -> WorkPlace | None:
        """Return the place of an image, None for a video, which waits in the queue.

        Args:
            path: of the request.
            caller: who sends it.

        Raises:
            Refused: there is no model yet, no place, or the caller's quota is used up.
        """
        if path == IMAGES_PATH and (why := self.not_ready):
            raise Refused(why)
        if shutil.disk_usage(self.settings.job_media_dir).free < MIN_FREE_BYTES:
            raise Refused(problems.storage_full())
        kind: MediaKind = "image" if path == IMAGES_PATH else "video"
        if caller.key is not None:
            await asyncio.to_thread(self._check_quota, caller, kind)
        if kind == "video":
            await asyncio.to_thread(self._check_queue, caller)
            return None
        place = self.places.enter(self.params.max_concurrency)
        if place is None:
            raise Refused(self._busy())
        return place

    def problem_of(self, path: str, status: int) -> problems.Problem:
        """Return the problem for a bare status of the framework; `/readyz` and `/livez` say why."""
        is_probe = path in (READY_PATH, LIVE_PATH) and status == HTTPStatus.SERVICE_UNAVAILABLE
        why = self.not_ready if is_probe else None
        return why or problems.of_status(status)

    def refused(self, kind: str) -> None:
        """Count a request that was refused before its file was looked at."""
        self.metrics.shed(kind)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answer under the endpoint that its path belongs to."""
        self.metrics.answered(method, endpoint_of(path), status, seconds)

    async def predict(
        self,
        upload: Upload,
        new: NewAnalysis,
        *,
        place: WorkPlace,
        is_gone: Callable[[], Awaitable[bool]],
        idempotency: Idempotency | None = None,
    ) -> Prediction:
        """Return the answer for an image, kept under the id of its analysis.

        Args:
            upload: the image; it is taken over, or removed where it fails.
            new: the analysis to be.
            place: where it may work.
            is_gone: whether the client closed the connection; its scan is given up if it has not begun.
            idempotency: the client's key for this request.

        Raises:
            Refused: there is no model or no place, the image cannot be scanned, the scan took too long, or
                nobody waits for it any more.
        """
        model = self.provider.current
        if model is None:
            raise Refused(problems.not_ready(self.policy.retry_after_s))
        if not place.upload_complete():
            raise Refused(self._busy())
        accepted_at = time.perf_counter()

        def scan() -> Prediction:
            pictures = Pictures() if new.pictures else None
            number = self._scans.begin()
            try:
                prediction = self._predictor.predict(
                    upload.path,
                    analysis_id=new.id,
                    owner=new.owner,
                    model=model,
                    request_id=new.request_id,
                    accepted_at=accepted_at,
                    pictures=pictures,
                )
                return self._keep(prediction, upload, new, idempotency, pictures)
            finally:
                self._scans.end(number)
                upload.path.unlink(missing_ok=True)
                self._mean_s += 0.1 * (time.perf_counter() - accepted_at - self._mean_s)

        work = self._threads.submit(scan)
        answer = asyncio.wrap_future(work)
        while True:
            left_s = self.scan_timeout_s - (time.perf_counter() - accepted_at)
            await asyncio.wait({answer}, timeout=min(LOOK_FOR_CLIENT_S, max(0.0, left_s)))
            if answer.done():
                return answer.result()
            if left_s <= 0:
                self._give_up(work, upload)
                _LOG.warning("request %s: no answer within %g s", new.request_id, self.scan_timeout_s)
                raise Refused(problems.deadline(self.scan_timeout_s))
            if await is_gone():
                self._give_up(work, upload)
                _LOG.info("request %s: the client went away", new.request_id)
                raise Refused(problems.client_gone())

    def submit(self, upload: Upload, new: NewAnalysis, idempotency: Idempotency | None) -> str:
        """Put a video into the queue; return the id of its analysis, the first one's where a key came again.

        Args:
            upload: the stored file.
            new: facts and options of the analysis.
            idempotency: key and fingerprint of the request, if it has one.

        Raises:
            Refused: the idempotency key stands for another request, or there is no room.
            ServerError: the job store does not answer.
        """
        return self._stored(upload, new, lambda: self.stores.analyses.submit(new, idempotency))

    def _keep(
        self,
        prediction: Prediction,
        upload: Upload,
        new: NewAnalysis,
        idempotency: Idempotency | None,
        pictures: Pictures | None,
    ) -> Prediction:
        def write() -> str:
            there = pictures is not None and keep_pictures(self.stores.media, new.id, pictures.content)
            verdict = verdict_of(prediction, prediction.timings_ms, pictures=there)
            return self.stores.analyses.record(new, verdict, idempotency)

        kept = self._stored(upload, new, write)
        if kept == new.id:
            return prediction
        return prediction.model_copy(update={"prediction_id": kept, "id": kept})

    def _stored(self, upload: Upload, new: NewAnalysis, write: Callable[[], str]) -> str:
        # The file first: a row without its file would be a promise that cannot be kept.
        try:
            self.stores.media.keep(new.id, upload.path, durable=new.kind == "video")
        except OSError as error:
            self.stores.media.remove(new.id)
            _LOG.exception("request %s: the upload cannot be stored", new.request_id)
            raise Refused(problems.storage_full()) from error
        try:
            kept = write()
        except BaseException as error:
            self.stores.media.remove(new.id)
            if isinstance(error, KeyReusedError):
                raise Refused(problems.key_reused()) from error
            raise
        if kept != new.id:
            self.stores.media.remove(new.id)
        return kept

    def _measure(self) -> None:
        """Record how much is in work, for how long, and whether the service is ready."""
        queue = self.stores.queue.state()
        self.metrics.queue(queue)
        self.metrics.work("video", queue.running_s, budget_s=self.params.job_timeout_s + START_TIMEOUT_S)
        self.metrics.work("image", self._scans.seconds, budget_s=self.scan_timeout_s)
        self.metrics.ready(ready=self.not_ready is None)
        if not queue.num_queued or queue.num_workers:
            self._no_worker_since = None
        elif self._no_worker_since is None:
            self._no_worker_since = time.monotonic()
        elif time.monotonic() - self._no_worker_since >= NO_WORKER_S:
            self._no_worker_since = float("inf")  # once is enough
            _LOG.warning(
                "%d videos wait and no worker runs: start one with 'deepfakestream work' in %s",
                queue.num_queued,
                self.settings.workspace.absolute(),
            )

    def _check_quota(self, caller: Caller, kind: MediaKind) -> None:
        key = caller.key
        assert key is not None
        quota = key.images_per_day if kind == "image" else key.video_minutes_per_day
        if quota is None:
            return
        now = time.time()
        today = [
            use for use in read_usage(self.stores.database, key.name, since=day_of(now)) if use.kind == kind
        ]
        used = sum(use.items if kind == "image" else use.media_s / 60 for use in today)
        if used >= quota:
            midnight = datetime.combine(
                datetime.fromtimestamp(now, UTC).date() + timedelta(days=1), datetime.min.time(), UTC
            )
            what = "images" if kind == "image" else "minutes of video"
            raise Refused(problems.quota_exceeded(midnight.timestamp() - now, quota=quota, what=what))

    def _check_queue(self, caller: Caller) -> None:
        state = self.stores.queue.state()
        if state.num_queued >= self.params.max_queued:
            wait_s = state.eta_s(1)
            raise Refused(
                problems.overloaded(wait_s, capacity=self.params.max_queued, what="videos that wait")
            )
        limit = self.params.max_queued_per_client
        if caller.key is not None and self.stores.queue.num_waiting(caller.owner) >= limit:
            raise Refused(problems.too_many_at_once(state.eta_s(1), limit=limit, what="videos that wait"))

    def _all_hang(self, seconds: float) -> problems.Problem | None:
        num_hanging = sum(each > seconds for each in self._scans.seconds)
        return problems.work_hangs(num_hanging, seconds) if num_hanging >= self._num_threads else None

    def _busy(self) -> problems.Problem:
        in_work = max(1, self.places.in_work)
        wait_s = self._turned_away.next_wait_s(num_in_work=in_work, each_s=self._mean_s / in_work)
        return problems.overloaded(wait_s, capacity=self.params.max_concurrency, what="images in work")

    def _give_up(self, work: Future[Prediction], upload: Upload) -> None:
        """Cancel a scan that waits for a thread; count one that runs as in work until it ends."""
        if work.cancel():
            upload.path.unlink(missing_ok=True)
            return
        place = self.places.enter(self.places.in_work + 1)
        assert place is not None
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(place.release))


def require_keys(settings: Settings, keys: KeyStore) -> None:
    """Do nothing where the service may start: it listens on this machine only, or has a key.

    Args:
        settings: of the workspace.
        keys: the API keys.

    Raises:
        DataError: keys are needed and there is none.
    """
    access = AccessControl(keys, mode=settings.access, host=settings.host)
    if access.asks_for_keys and not keys.any_active():
        raise DataError(
            f"the service asks for API keys (it listens on {settings.host}, DEEPFAKESTREAM_ACCESS is "
            f"{settings.access}) and there is none; make one with 'deepfakestream keys create NAME'"
        )
