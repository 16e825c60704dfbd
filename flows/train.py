"""Run what is out of date, then let the gate decide about the champion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow, get_run_logger, task

from deepfakestream.errors import ServerError
from deepfakestream.monitoring.governor import RetrainOutcome
from deepfakestream.pipeline.retrain import promote_if_better
from deepfakestream.pipeline.stages import STAGES, reproduce
from deepfakestream.pipeline.trigger import Trigger
from flows.run_page import outcome, publish_decision, run_name
from flows.started import is_scheduled, started
from flows.workspace import workspace


@task(task_run_name="{stage}")
def run_stage(stage: str, trigger: Trigger) -> bool:
    """Run one stage of dvc.yaml where it is out of date."""
    _, settings = workspace()
    return reproduce(settings, stage, trigger, listener=get_run_logger().info)


def registry_is_away(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Return whether a task failed because a server did not answer: the one failure that time may heal."""
    return isinstance(state.result(raise_on_failure=False), ServerError)


@task(retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=registry_is_away)
def promote() -> tuple[RetrainOutcome, str]:
    """Register the trained model and move the alias if the gate agrees; safe to repeat."""
    _, settings = workspace()
    return promote_if_better(settings)


@flow(name="train", flow_run_name=run_name)
def train() -> State[str]:
    """Extract, validate, train, evaluate, promote."""
    begun = datetime.now(UTC)
    trigger = started(Trigger(occasion="schedule" if is_scheduled() else "manual"))
    for stage in STAGES:
        run_stage(stage, trigger)
    word, summary = promote()
    get_run_logger().info(summary)
    publish_decision(begun)
    return outcome(word, summary, result=summary)
