"""Take labelled media into the workspace; a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

from prefect import State, flow, get_run_logger, task
from prefect.events import emit_event

from deepfakestream.pipeline import ingest as step
from flows.run_page import outcome, run_name
from flows.workspace import workspace

DATA_EVENT = "deepfakestream.data.ingested"


@task
def take_in(source: str, request: step.IngestRequest) -> tuple[int, str]:
    """Examine, copy, version and push the source; return how many items are new, and the report."""
    params, settings = workspace()
    report = step.run(Path(source), params=params.ingest, settings=settings, request=request)
    return len(report.added), report.describe()


@task(retries=2, retry_delay_seconds=5)
def announce(num_added: int, source: str) -> None:
    """Emit the event that the retrain deployment listens for."""
    emit_event(
        event=DATA_EVENT,
        resource={"prefect.resource.id": "deepfakestream.data", "prefect.resource.name": source},
        payload={"summary": f"{num_added} items ingested from {source}"},
    )


@flow(name="ingest", flow_run_name=run_name)
def ingest(
    source: str, layout: str | None = None, name: str | None = None, licence: str = "not stated"
) -> State[str]:
    """Ingest a folder, manifest or tar shards that this machine can read."""
    num_added, summary = take_in(source, step.IngestRequest(layout=layout, name=name, licence=licence))
    get_run_logger().info(summary)
    if num_added:
        announce(num_added, source)
    word = f"{num_added} new" if num_added else "nothing new"
    return outcome(word, summary, result=summary)
