"""Take labelled media into the workspace; a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task

from deepfakestream.pipeline import ingest as step
from flows.workspace import workspace


@task
def take_in(source: str, request: step.IngestRequest) -> str:
    """Examine, copy, version and push the source."""
    params, settings = workspace()
    return step.run(Path(source), params=params.ingest, settings=settings, request=request).describe()


@flow(name="ingest")
def ingest(
    source: str, layout: str | None = None, name: str | None = None, licence: str = "not stated"
) -> str:
    """Ingest a folder, manifest or tar shards that this machine can read."""
    summary = take_in(source, step.IngestRequest(layout=layout, name=name, licence=licence))
    get_run_logger().info(summary)
    return summary
