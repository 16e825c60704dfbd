"""Where jobs run: this process, a pool of processes (the default), or a Ray cluster."""

from __future__ import annotations

import os
from typing import Literal

from deepfakestream.data.extraction.executors.base import Executor, Job, JobOutcome, ThisProcess, Work
from deepfakestream.data.extraction.executors.process_pool import ProcessPool
from deepfakestream.data.extraction.executors.ray_cluster import RayCluster

__all__ = ["Executor", "Job", "JobOutcome", "Work", "open_executor"]


def open_executor(
    name: Literal["process", "inline", "ray"], *, device: str, num_workers: int, ray_address: str | None
) -> Executor:
    """Return an executor; it starts nothing before it gets jobs.

    Args:
        name: a pool of processes, this process, or a Ray cluster.
        device: auto, cpu or cuda: where the detector runs.
        num_workers: workers at once; 0: one a core, or one where a GPU is asked for.
        ray_address: a running cluster, as `ray.init` takes it; None starts one on this machine.
    """
    if name == "inline":
        return ThisProcess()
    wants_gpu = device == "cuda"
    if name == "ray":
        return RayCluster(address=ray_address, num_workers=num_workers, num_gpus_each=int(wants_gpu))
    # A GPU is shared badly by several processes: there one worker feeds it, unless more are asked for.
    num_usable = 1 if wants_gpu else len(os.sched_getaffinity(0))
    return ProcessPool(num_workers or num_usable)
