"""Ask the governor; if it agrees, make another model and let the gate decide about it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from prefect import State, flow, get_run_logger, task

from deepfakestream.monitoring.governor_rules import Occasion
from deepfakestream.pipeline import retrain as step
from deepfakestream.pipeline.stages import renew
from deepfakestream.pipeline.trigger import Trigger
from flows.run_page import outcome, publish_decision, run_name
from flows.started import is_scheduled, started
from flows.train import promote
from flows.workspace import workspace


@task(task_run_name="{stage}")
def run_stage(stage: str, trigger: Trigger) -> None:
    """Run one stage of dvc.yaml; `train` always makes another model."""
    _, settings = workspace()
    renew(settings, stage, trigger, listener=get_run_logger().info)


@flow(name="retrain", flow_run_name=run_name)
def retrain(reason: str = "", force: bool = False, occasion: Occasion | None = None) -> State[str]:
    """Retrain if the governor agrees. A refusal is a completed run that says why.

    Args:
        reason: for people: what started it.
        force: override every rule of the governor but "one at a time".
        occasion: schedule, drift, data or manual; default: schedule where a schedule made the run, or manual.
    """
    params, settings = workspace()
    log = get_run_logger()
    by_default: Occasion = "schedule" if is_scheduled() else "manual"
    request = step.request_for(settings, occasion=occasion or by_default, reason=reason, force=force)
    log.info("%s: %s", request.occasion, reason or "no reason given")
    begun = datetime.now(UTC)
    with step.attempt(
        params.retrain, settings=settings, request=request, started_by=started(Trigger())
    ) as current:
        log.info(current.decision.describe())
        said = current.run_steps(partial(run_stage, trigger=current.trigger), promote)
    if not current.decision.allowed:
        answer = current.decision.describe()
        return outcome("refused", "; ".join(current.decision.reasons), result=answer)
    log.info(said)
    publish_decision(begun)
    return outcome(current.outcome, said, result=said)
