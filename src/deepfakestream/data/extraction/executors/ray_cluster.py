"""Jobs on a Ray cluster: one that runs already, else one on this machine that ends with the run.

The only module that knows Ray, which comes with the extra `ray`. Workers may be on other machines: the paths
in a job must lead to the same files there.
"""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic

from deepfakestream.data.extraction.executors.base import Job, JobOutcome, Work
from deepfakestream.errors import MissingExtraError, ServerError

OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of our own. Pictures go to the face store, so that only jobs pass through it."""

CONNECT_TIMEOUT_S = 10.0


class RayCluster:
    """Actors that each keep their copy of the work, one a core."""

    def __init__(self, *, address: str | None, num_workers: int, num_gpus_each: int = 0) -> None:
        """Describe the cluster; nothing is started before `run`.

        Args:
            address: a running cluster, as `ray.init` takes it; None starts one on this machine.
            num_workers: processes at most; 0 for as many as the cluster has cores (or GPUs) for.
            num_gpus_each: GPUs that a worker has to itself.
        """
        self._address = address
        self._num_workers = num_workers
        self._num_gpus_each = num_gpus_each

    def run(self, work: Work[Job], jobs: Iterable[Job]) -> Iterator[JobOutcome[Job]]:
        """Yield every job once its work has ended.

        A job whose worker dies is run again in a new one: the machine may have been why.

        Args:
            work: does one job; it must be importable by name, as it may run in another process.
            jobs: work off in any order.

        Raises:
            MissingExtraError: Ray is not installed.
            ServerError: no cluster can be reached or started, or its machines cannot load the work.
        """
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", ("ray",)) from error

        with _connected(ray, self._address, self._num_workers):
            resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
            capacity = int(resources.get("GPU" if self._num_gpus_each else "CPU", 1))
            num_workers = self._num_workers or max(1, capacity)
            actor = ray.remote(num_cpus=1, num_gpus=self._num_gpus_each, max_restarts=0)(_Worker)
            workers: _Workers[Job] = _Workers(ray, lambda: actor.remote(work), num_workers)
            yield from workers.run(jobs)


class _Worker(Generic[Job]):
    def __init__(self, work: Work[Job]) -> None:
        self._work = work

    def do(self, job: Job) -> None:
        self._work(job)


class _Workers(Generic[Job]):
    """Actors, each with one job in hand at most: when one dies, it is clear which job it was."""

    def __init__(self, ray: Any, create_worker: Callable[[], Any], num_workers: int) -> None:
        self._ray = ray
        self._create_worker = create_worker
        self._num_workers = num_workers
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Any, Job, bool]] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[JobOutcome[Job]]:
        queue = ((job, False) for job in jobs)
        again: deque[tuple[Job, bool]] = deque()
        while True:
            while len(self._running) < self._num_workers:
                taken = again.popleft() if again else next(queue, None)
                if taken is None:
                    break
                job, is_retry = taken
                worker = self._idle.pop() if self._idle and not is_retry else self._create_worker()
                self._running[worker.do.remote(job)] = (worker, job, is_retry)
            if not self._running:
                return
            for job, was_retried, crashed in self._finished():
                if crashed and not was_retried:
                    again.append((job, True))
                else:
                    yield JobOutcome(job, crashed=crashed)

    def _finished(self) -> Iterator[tuple[Job, bool, bool]]:
        done, _ = self._ray.wait(list(self._running), num_returns=1)
        for reference in done:
            worker, job, is_retry = self._running.pop(reference)
            crashed = not self._succeeded(reference)
            if not crashed:
                self._idle.append(worker)
            yield job, is_retry, crashed

    def _succeeded(self, reference: Any) -> bool:
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:  # no job of ours did that, and each would fare the same
                reason = str(error).strip().splitlines()[-1]
                raise ServerError(
                    f"DEEPFAKESTREAM_EXECUTOR: a worker of the Ray cluster cannot load the work ({reason}); "
                    "install the same version of deepfakestream on each of its machines"
                ) from error
            return False
        except self._ray.exceptions.RayTaskError as error:
            # The error as the work raised it, without Ray's account of where.
            raise error.cause from None
        return True


@contextmanager
def _connected(ray: Any, address: str | None, num_workers: int) -> Iterator[None]:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    folder = None if address else tempfile.mkdtemp(prefix="ray-")
    own = {
        "address": "local",
        "num_cpus": num_workers or None,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": folder,
    }
    try:
        if address:
            # Ray itself tries for minutes before it says that nobody is there.
            host, _, port = address.rpartition("/")[2].rpartition(":")
            if host and port.isdigit():
                socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        ray.init(**quiet, **({"address": address} if address else own))
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at '{address}'" if address else "on this machine"
        raise ServerError(
            f"DEEPFAKESTREAM_RAY_ADDRESS: no Ray cluster {where} ({error}); "
            "start one with 'ray start --head', or set DEEPFAKESTREAM_EXECUTOR=process"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
