"""Where jobs run: this process, a pool of processes (the default), or a Ray cluster."""

from __future__ import annotations

import os

from deepfakestream.data.extraction.executors.base import Executor, Job, JobOutcome, ThisProcess, Work
from deepfakestream.data.extraction.executors.process_pool import ProcessPool
from deepfakestream.data.extraction.executors.ray_cluster import RayCluster
from deepfakestream.settings import Settings

__all__ = ["Executor", "Job", "JobOutcome", "Work", "open_executor"]


def open_executor(settings: Settings) -> Executor:
    """Return the executor that the settings name; it starts nothing before it gets jobs."""
    if settings.executor == "inline":
        return ThisProcess()
    wants_gpu = settings.device == "cuda"
    if settings.executor == "ray":
        return RayCluster(
            address=settings.ray_address, num_workers=settings.num_workers, num_gpus_each=int(wants_gpu)
        )
    # A GPU is shared badly by several processes: there one worker feeds it, unless more are asked for.
    num_usable = 1 if wants_gpu else len(os.sched_getaffinity(0))
    return ProcessPool(settings.num_workers or num_usable)
