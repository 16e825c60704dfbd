"""What started the flow run that this process is at."""

from __future__ import annotations

from prefect.context import FlowRunContext

from deepfakestream.pipeline.trigger import Trigger


def is_scheduled() -> bool:
    """Return whether a schedule made this run, be it ours or one that somebody added in Prefect."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


def started(trigger: Trigger) -> Trigger:
    """Return the trigger with the id and the name of this flow run, so that MLflow's run leads back to it.

    Args:
        trigger: without them.
    """
    context = FlowRunContext.get()
    if not (context and context.flow_run):
        return trigger
    return trigger.model_copy(
        update={"flow_run_id": str(context.flow_run.id), "flow_run_name": context.flow_run.name}
    )
