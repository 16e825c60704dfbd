"""Serve the four flows against the Prefect server of PREFECT_API_URL: `python -m flows.deployments`.

Serving again makes the automation again and forgets what it had counted; that is why cooldown, budget and
"one at a time" live in the governor and not here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from prefect import Flow, get_client, serve
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from deepfakestream.settings import load_settings
from flows.drift import DRIFT_EVENT, MODEL_RESOURCE, drift
from flows.ingest import ingest
from flows.retrain import retrain
from flows.train import train

MAX_RUNS = 2
"""Runs at once on this machine: a retraining, and a drift check next to it."""


def retrain_on_drift() -> DeploymentEventTrigger:
    """Return the automation: every confirmed drift starts the retrain flow, with the event's summary."""
    summary = {"__prefect_kind": "jinja", "template": "{{ event.payload.summary }}"}
    return DeploymentEventTrigger(
        name="retrain-on-drift",
        expect={DRIFT_EVENT},
        match={"prefect.resource.id": f"{MODEL_RESOURCE}.*"},
        parameters={"reason": summary},
    )


def deployments(drift_interval: timedelta) -> list[RunnerDeployment]:
    """Return the four deployments: drift on a schedule, retrain on its event, ingest and train on demand."""
    return [
        _deployment(ingest),
        _deployment(train),
        _deployment(drift, interval=drift_interval),
        _deployment(retrain, triggers=[retrain_on_drift()]),
    ]


def _deployment(flow: Flow[Any, str], **extra: Any) -> RunnerDeployment:
    """Return a deployment named as its flow, one run at a time, found by module and not by folder."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    return RunnerDeployment.from_flow(
        flow, flow.name, concurrency_limit=one, entrypoint_type=EntrypointType.MODULE_PATH, **extra
    )


def give_up_abandoned_runs() -> int:
    """Mark the runs that a killed process left behind as crashed; return how many there were.

    Such a run stays "running" for ever and keeps the one slot of its deployment, so that every later run is
    cancelled. This process alone serves the flows of its Prefect server: before it does, none can run.
    """
    names = FlowFilter(name=FlowFilterName(any_=[each.name for each in (ingest, train, drift, retrain)]))
    active = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=names, flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=active))
        )
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"))
    return len(runs)


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    interval = timedelta(seconds=load_settings().drift_interval_s)
    give_up_abandoned_runs()
    # Paused schedules would stay paused after a restart.
    serve(*deployments(interval), limit=MAX_RUNS, pause_on_shutdown=False)


if __name__ == "__main__":
    main()
