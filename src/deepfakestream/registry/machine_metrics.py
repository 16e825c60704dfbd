"""Processor, memory, disk, network and GPU during a run, sampled by MLflow into the metrics `system/…`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_logger = logging.getLogger(__name__)


@contextmanager
def machine_watched(run_id: str, *, tracking_uri: str) -> Iterator[None]:
    """Sample the machine every ten seconds until the block ends; nothing of it stops the run.

    A GPU of NVIDIA is watched where its driver and the package nvidia-ml-py are installed. If the tracking
    server does not answer, no more is sampled.

    Args:
        run_id: id of an MLflow run that is RUNNING.
        tracking_uri: the server or database that has it.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = None
    try:
        monitor = SystemMetricsMonitor(run_id, tracking_uri=tracking_uri)  # type: ignore[no-untyped-call]
        monitor.start()
    except Exception as error:  # noqa: BLE001 - e.g. a container without network counters
        _logger.warning("MLflow run %s: the machine is not watched (%s)", run_id, error)
    try:
        yield
    finally:
        if monitor is not None:
            monitor.finish()
