"""What the page of a flow run in Prefect shows: name, tags, outcome, the gate's decision, links over http."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import State, get_client, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed

from deepfakestream.pipeline.gate_table import gate_table
from flows.started import is_scheduled
from flows.workspace import workspace

_MAX_NAME_CHARS = 120
_MAX_MESSAGE_CHARS = 1000


def run_name() -> str:
    """Return the name of this flow run: the flow, then why it runs, or on what, or when."""
    parameters = flow_run.parameters or {}
    if source := parameters.get("source"):
        why = Path(source).name
    else:
        cause = parameters.get("reason") or parameters.get("occasion")
        why = cause or ("on schedule" if is_scheduled() else "by hand")
        if not cause:
            why += f", {datetime.now(UTC):%Y-%m-%d %H:%M}"
    return f"{flow_run.flow_name}: {why}"[:_MAX_NAME_CHARS]


def outcome(word: str, text: str, *, result: str) -> State[str]:
    """Return the final state of a flow run whose message begins with its outcome, and tag the run with it.

    The state is called "Completed" as any other: Prefect's filters and automations go by that name.

    Args:
        word: e.g. drift, ok, refused, held, promoted.
        text: what else is to be said, on one line.
        result: what the flow returns.
    """
    context = FlowRunContext.get()
    if context and context.flow_run:
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, tags=[*context.flow_run.tags, word])
    message = f"{word}: {' '.join(text.split())}"
    return Completed(message=message[:_MAX_MESSAGE_CHARS], data=result)


@task(retries=2, retry_delay_seconds=5)
def publish_decision(since: datetime) -> None:
    """Put the gate's decision as a table, and links to version and run in MLflow, on the run's page.

    Args:
        since: an earlier decision is not shown.
    """
    decision = gate_table(workspace()[1], since=since)
    if decision is None:
        return
    create_table_artifact(decision.rows, key="gate-decision", description=decision.summary)
    for key, (text, address) in decision.links.items():
        create_link_artifact(address, link_text=text, key=key, description=text)
