"""`deepfakestream work`: takes jobs from the queue, has a process do them, writes their outcome.

The worker itself reads no media, so nothing in a file can end it. It keeps the lease of its job alive, ends
the process where a job is canceled or takes too long, and sends webhooks on the side.

It scans one video at a time. Heat maps take minutes, so they have a thread and a process of their own, which
yields the processor to scans: no video waits for them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepfakestream.errors import DeepfakeStreamError, Reason, ServerError
from deepfakestream.host.process_place import is_running, place, process_name
from deepfakestream.jobs.queue import ALIVE_S, LEASE_S
from deepfakestream.jobs.types import Explanation, Failure, Job, Outcome, Task, Verdict
from deepfakestream.jobs.webhooks import Courier
from deepfakestream.scanning.result import ScanResult
from deepfakestream.service import problems
from deepfakestream.service.outcomes import outcome_of, to_failure
from deepfakestream.service.pictures import keep_pictures, pictures_in
from deepfakestream.service.scanner import (
    Scanner,
    ScannerLost,
    ScannerNotStarted,
    TaskDropped,
    TaskProgress,
    TaskTimeout,
)
from deepfakestream.service.stores import Stores

IDLE_S = 0.5
"""Wait before the queue is looked at again."""
STORE_AWAY_S = 5.0
MAX_CRASHES = 2
"""Times that a file may end the process that reads it before that is its answer."""
RETRY_S = 3.0
"""Wait before a process that ended is started again."""
PAUSE_S = 10.0
"""Wait after a job that cannot be done here now, before the next one is taken."""
WEBHOOKS_EVERY_S = 1.0
KEEP_S = 60.0
"""How long the process that draws heat maps stays without work; PyTorch and a model take a gigabyte."""
HEATMAP_TIMES = 4
"""How many times as long as a scan the heat maps of a file may take: each map is tested against chance."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    outcome: Outcome
    pictures: dict[str, bytes] = field(default_factory=dict)
    """Content of pictures by their names in the media store."""


class _NotNow(Exception):  # noqa: N818 - the job waits, nothing of it failed
    """The job cannot be done by this worker now, for a reason that is not in its file as far as known."""

    def __init__(self, why: str, *, counts: bool) -> None:
        super().__init__(why)
        self.counts = counts
        """Whether it counts as an attempt: the file may be the cause after all."""


class Worker:
    """One worker. `run` returns once `stop` was called."""

    def __init__(
        self,
        stores: Stores,
        scanner: Scanner,
        drawer: Scanner,
        *,
        job_timeout_s: float,
        allow_private_webhooks: bool = False,
        on_state: Callable[[str, Job], None] = lambda _state, _job: None,
    ) -> None:
        """Bind the parts.

        Args:
            stores: the job store and the media.
            scanner: scans media.
            drawer: the same for heat maps.
            job_timeout_s: longest time for a job.
            allow_private_webhooks: whether webhooks may go to private addresses.
            on_state: is called when a job is taken (`taken`) and before its outcome is written (`finishing`).
        """
        self.name = process_name()
        self._stores = stores
        self._scanners: dict[Task, Scanner] = {"scan": scanner, "explain": drawer}
        self._job_timeout_s = job_timeout_s
        self._courier = Courier(stores.database, allow_private=allow_private_webhooks)
        self._on_state = on_state
        self._stop = threading.Event()
        self._seen_at = 0.0

    def stop(self) -> None:
        """Let `run` give its job back and return."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop` is called. A store that is away is waited for."""
        threads = [
            threading.Thread(target=self._send_webhooks, name="webhooks", daemon=True),
            threading.Thread(target=self._work, args=("explain",), name="heat maps", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            self._work("scan")
        finally:
            for thread in threads:
                thread.join(timeout=30.0)
            try:
                self._stores.queue.sign_off(self.name)
            except ServerError as error:
                _LOG.warning("%s; the job will be taken over when its lease ends", error)

    def _work(self, task: Task) -> None:
        """Do jobs of a kind until the worker ends; what is no fault of a job ends the worker."""
        scanner, idle_since = self._scanners[task], time.monotonic()
        try:
            greeted = task != "scan"
            while not self._stop.is_set():
                try:
                    if not greeted:
                        self._take_over()
                        greeted = True
                    self._seen()
                    job = self._stores.queue.claim(self.name, (task,))
                    if job is not None:
                        self._do(job)
                        idle_since = time.monotonic()
                        continue
                    if task == "explain" and time.monotonic() - idle_since > KEEP_S:
                        scanner.stop()
                    self._stop.wait(IDLE_S)
                except ServerError as error:
                    _LOG.warning("%s; tried again in %g s", error, STORE_AWAY_S)
                    self._stop.wait(STORE_AWAY_S)
        finally:
            scanner.stop()
            self._stop.set()

    def _take_over(self) -> None:
        """Give back at once what workers held that were killed here, before their leases end."""
        for name in self._stores.queue.workers_at(place()):
            if is_running(name) is False:
                self._stores.queue.sign_off(name)
                _LOG.info("worker %s has ended; its job is in the queue again", name)

    def _seen(self) -> None:
        if time.monotonic() - self._seen_at >= ALIVE_S / 3 or not self._seen_at:
            self._stores.queue.register(self.name, place())
            self._seen_at = time.monotonic()

    def _do(self, job: Job) -> None:
        _LOG.info("job %s of analysis %s, attempt %d", job.task, job.analysis_id, job.attempts)
        self._on_state("taken", job)
        try:
            answer = self._answer(job)
        except TaskDropped:
            if self._stop.is_set():
                self._stores.queue.give_back(job)
            _LOG.info("analysis %s is no longer ours", job.analysis_id)
            return
        except _NotNow as error:
            _LOG.warning(
                "analysis %s goes back into the queue (%s); this worker waits %g s",
                job.analysis_id,
                error,
                PAUSE_S,
            )
            self._stores.queue.give_back(job, counts=error.counts)
            self._stop.wait(PAUSE_S)
            return
        outcome = answer.outcome
        if not keep_pictures(self._stores.media, job.analysis_id, answer.pictures):
            if isinstance(outcome, Explanation):
                outcome = to_failure(problems.storage_full())
            elif isinstance(outcome, Verdict):  # it stays true without them
                outcome = replace(outcome, pictures=False)
        self._on_state("finishing", job)
        if not self._finished(job, outcome):
            _LOG.info("analysis %s was taken from us; what was found is dropped", job.analysis_id)
            if self._stores.analyses.get(job.analysis_id) is None:
                self._stores.media.remove(job.analysis_id)

    def _finished(self, job: Job, outcome: Outcome) -> bool:
        """Write the outcome; a store that is away is waited for, as long as the job can still be ours."""
        until = time.monotonic() + LEASE_S
        while True:
            try:
                return self._stores.queue.finish(job, outcome)
            except ServerError as error:
                if time.monotonic() > until:
                    raise
                _LOG.warning("%s; the outcome is written later", error)
                self._stop.wait(STORE_AWAY_S)

    def _answer(self, job: Job) -> _Answer:
        """Return the outcome of a job.

        Raises:
            TaskDropped: the job is no longer ours, or we are asked to end.
            _NotNow: it is to be tried again, here or elsewhere.
        """
        crashes = 0
        while True:
            try:
                with (
                    self._stores.media.media(job.analysis_id) as path,
                    self._stores.media.scratch() as folder,
                ):
                    return self._asked(job, path, folder)
            except FileNotFoundError:
                return _Answer(
                    outcome=_failed(Reason.NOT_FOUND, "upload: the file is no longer kept; send it again")
                )
            except TaskTimeout:
                detail = f"upload: was not scanned within {self._job_timeout_s:g} s; send a shorter file"
                return _Answer(outcome=_failed(Reason.TIME_BUDGET, detail))
            except ScannerNotStarted as error:
                why = "the process that scans does not start; its lines in this log say why"
                raise _NotNow(why, counts=False) from error
            except ScannerLost:
                crashes += 1
                if crashes >= MAX_CRASHES:
                    detail = (
                        "upload: reading it ended the program that read it; send another copy of the file"
                    )
                    return _Answer(outcome=_failed(Reason.DECODER_CRASHED, detail))
                self._stop.wait(RETRY_S)

    def _asked(self, job: Job, path: Path, folder: Path) -> _Answer:
        def keep(progress: TaskProgress) -> bool:
            if self._stop.is_set():
                return False
            try:
                self._seen()
                return self._stores.queue.renew(
                    job, stage=progress.stage, done=progress.done, total=progress.total
                )
            except ServerError as error:
                # The work goes on: if the store is back in time, nothing is lost.
                _LOG.warning("%s; the lease is renewed later", error)
                return True

        task: dict[str, Any] = {
            "task": job.task,
            "path": str(path),
            "kind": job.kind,
            "folder": str(folder),
            "pictures": job.pictures,
        }
        if job.task == "explain":
            analysis = self._stores.analyses.get(job.analysis_id)
            task |= {"version": analysis.model_version if analysis else None, "face": job.face}
        timeout_s = self._job_timeout_s * (HEATMAP_TIMES if job.task == "explain" else 1)
        message = self._scanners[job.task].run(task, timeout_s=timeout_s, keep=keep)
        if "not_now" in message:
            raise _NotNow(message["not_now"], counts=message["counts"])
        if "answer" not in message:
            return _Answer(outcome=_failure(message, job))
        answer = message["answer"]
        pictures = pictures_in(folder, num_explained=job.num_explained if job.face else 0)
        if job.task == "explain":
            explanation = Explanation(faces=tuple(answer["faces"]), pictures=job.pictures)
            return _Answer(outcome=explanation, pictures=pictures)
        result = ScanResult.model_validate(answer["result"])
        outcome = outcome_of(result, answer["timings_ms"], pictures=job.pictures)
        return _Answer(outcome=outcome, pictures=pictures)

    def _send_webhooks(self) -> None:
        while not self._stop.wait(WEBHOOKS_EVERY_S):
            try:
                self._courier.deliver_due()
            except DeepfakeStreamError as error:
                _LOG.warning("webhooks: %s", error)
                self._stop.wait(STORE_AWAY_S)
            except Exception:  # noqa: BLE001 - without this thread no client gets a webhook any more
                _LOG.exception("webhooks: a fault of ours")
                self._stop.wait(STORE_AWAY_S)


def _failure(message: dict[str, Any], job: Job) -> Failure:
    """Return what the process said is wrong."""
    if "wrong_kind" in message:
        return to_failure(problems.content_mismatch(found=message["wrong_kind"], expected=job.kind))
    if "media_error" in message:
        return _failed(Reason(message["media_error"]), message["detail"])
    _LOG.error("job of analysis %s failed: %s", job.analysis_id, message.get("error"))
    return to_failure(problems.internal())


def _failed(reason: Reason, detail: str) -> Failure:
    return to_failure(problems.unusable_media(reason, detail))
