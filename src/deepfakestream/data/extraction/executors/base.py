"""The seam between the work and where it runs: jobs go in, outcomes come out in the order of completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Job = TypeVar("Job")
Work = Callable[[Job], None]
"""Does one job and keeps its result itself; picklable. Each worker has a copy of its own for all its jobs."""


@dataclass(frozen=True, slots=True)
class JobOutcome(Generic[Job]):
    """A job that needs no more work."""

    job: Job
    crashed: bool = False
    """It ended the process that worked on it, twice, the second time with no other job next to it."""


class Executor(Protocol):
    """Runs jobs somewhere. Where must not change what comes of them."""

    def run(self, work: Work[Job], jobs: Iterable[Job]) -> Iterator[JobOutcome[Job]]:
        """Yield every job once its work has ended; takes a few more jobs than it has workers at a time.

        An error that the work raises ends the run and is raised here. Closing the iterator stops the workers.

        Args:
            work: does one job; it must be importable by name, as it may run in another process.
            jobs: work off in any order.
        """
        ...


class ThisProcess:
    """One job after the other, here; a job that ends the process ends everything."""

    def run(self, work: Work[Job], jobs: Iterable[Job]) -> Iterator[JobOutcome[Job]]:
        """Yield every job once its work has ended, in the order of the jobs.

        Args:
            work: does one job; it must be importable by name, as it may run in another process.
            jobs: work off in any order.
        """
        for job in jobs:
            work(job)
            yield JobOutcome(job)
