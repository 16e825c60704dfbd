"""Serve the four flows against the Prefect server of PREFECT_API_URL: `python -m flows.deployments`.

Prefect forgets what an automation had counted when its server starts again; that is why cooldown, budget and
"one at a time" live in the governor and not here.
"""

from __future__ import annotations

from prefect import get_client, serve
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from deepfakestream.params import Params
from deepfakestream.registry.tracking import give_up_abandoned
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store
from flows.drift import DRIFT_EVENT, MODEL_RESOURCE, drift
from flows.ingest import DATA_EVENT, ingest
from flows.retrain import retrain
from flows.schedules import apply_deployments, ensure_automation
from flows.train import train
from flows.workspace import workspace

FLOWS = (ingest, train, drift, retrain)

MAX_RUNS = 2
"""Runs at once on this machine: a retraining, and a drift check next to it."""


def retrain_triggers() -> list[DeploymentEventTrigger]:
    """Return the automations: confirmed drift and an ingestion each start the retraining."""
    summary = {"__prefect_kind": "jinja", "template": "{{ event.payload.summary }}"}
    return [
        DeploymentEventTrigger(
            name=f"retrain-on-{occasion}",
            expect={event},
            match={"prefect.resource.id": resource},
            parameters={"reason": summary, "occasion": occasion},
        )
        for occasion, event, resource in (
            ("drift", DRIFT_EVENT, f"{MODEL_RESOURCE}.*"),
            ("data", DATA_EVENT, "deepfakestream.data"),
        )
    ]


def deployments() -> list[RunnerDeployment]:
    """Return the four deployments, each named as its flow, one run at a time, found by module."""
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    return [
        RunnerDeployment.from_flow(
            flow, flow.name, concurrency_limit=one, entrypoint_type=EntrypointType.MODULE_PATH
        )
        for flow in FLOWS
    ]


def schedules(params: Params) -> dict[str, CronSchedule | None]:
    """Return the schedules that params.yaml asks for, by deployment; None: no schedule."""
    return {
        "drift": CronSchedule(cron=params.drift.cron, timezone="UTC") if params.drift.cron else None,
        "retrain": CronSchedule(cron=params.retrain.cron, timezone=params.retrain.time_zone)
        if params.retrain.cron
        else None,
    }


def register(params: Params, settings: Settings) -> list[RunnerDeployment]:
    """Make deployments, schedules and automations at the Prefect server; operators' changes stay.

    Args:
        params: with the schedules.
        settings: of the workspace.
    """
    made = deployments()
    with get_client(sync_client=True) as client:
        apply_deployments(made, schedules(params), client=client, record=settings.work_dir / "schedules.json")
        (retraining,) = (each for each in made if each.name == retrain.name)
        for trigger in retrain_triggers():
            ensure_automation(trigger, retraining, client=client)
    return made


def give_up_abandoned_runs() -> int:
    """Mark the runs that a killed process left behind as crashed; return how many there were.

    Such a run stays "running" for ever and keeps the one slot of its deployment, so that every later run is
    cancelled. This process alone serves the flows of its Prefect server: before it does, none can run.
    """
    names = FlowFilter(name=FlowFilterName(any_=[each.name for each in FLOWS]))
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
    params, settings = workspace()
    give_up_abandoned_runs()
    give_up_abandoned(mlflow_store(settings))
    # Stopping must pause nothing: what is paused stays so until somebody resumes it.
    serve(*register(params, settings), limit=MAX_RUNS, pause_on_shutdown=False)


if __name__ == "__main__":
    main()
