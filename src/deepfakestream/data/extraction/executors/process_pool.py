"""Jobs in processes of this machine; a job that ends its process takes no other job along."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from deepfakestream.data.extraction.executors.base import Job, JobOutcome, Work

_work: Callable[[Any], None] | None = None


class ProcessPool:
    """Spawned processes that each keep their copy of the work."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers

    def run(self, work: Work[Job], jobs: Iterable[Job]) -> Iterator[JobOutcome[Job]]:
        """Yield every job once its work has ended.

        When a worker dies, every job in hand may be why: each is run again in a process of its own.

        Args:
            work: does one job; it must be importable by name, as it may run in another process.
            jobs: work off in any order.
        """
        queue = iter(jobs)
        while suspects := (yield from self._until_broken(work, queue)):
            for job in suspects:
                yield JobOutcome(job, crashed=not _survives(work, job))

    def _until_broken(
        self, work: Work[Job], queue: Iterator[Job]
    ) -> Generator[JobOutcome[Job], None, list[Job]]:
        """Take jobs until there are none or a worker dies; return the jobs that were in hand then."""
        running: dict[Future[None], Job] = {}
        with _pool(work, self._num_workers) as pool:
            while True:
                while len(running) < 2 * self._num_workers and (job := next(queue, None)) is not None:
                    running[_submit(pool, job)] = job
                if not running:
                    return []
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    if isinstance(future.exception(), BrokenProcessPool):
                        return list(running.values())
                    future.result()
                    yield JobOutcome(running.pop(future))


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[None]:
    try:
        return pool.submit(_do, job)
    except BrokenProcessPool as error:
        broken: Future[None] = Future()
        broken.set_exception(error)
        return broken


def _survives(work: Work[Job], job: Job) -> bool:
    with _pool(work, 1) as pool:
        try:
            pool.submit(_do, job).result()
        except BrokenProcessPool:
            return False
    return True


@contextmanager
def _pool(work: Work[Any], num_workers: int) -> Iterator[ProcessPoolExecutor]:
    # Spawned, not forked: ONNX Runtime and PyAV do not survive a fork of their threads.
    pool = ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(work,),
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(work: Work[Any]) -> None:
    global _work  # a pool's initializer has no other way to hand something to its tasks
    _work = work
    # Ctrl-C reaches the whole process group; the parent ends the pool, after the jobs in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent closes no queue: without this its workers would wait for the next job for ever.
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _do(job: Any) -> None:
    assert _work is not None, "the pool's initializer ran"
    _work(job)
