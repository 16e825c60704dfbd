"""Schedules and automations at the Prefect server: made once; what operators change there stays.

A schedule is set where the deployment is new, or where params.yaml asks for another one than at the last
start. An automation is made where it is missing. Paused schedules, other crons and disabled automations
survive a restart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound

from deepfakestream.host.whole_files import replacing

KEPT_FIELDS = {"schedules", "paused"}
"""Fields of a deployment that Prefect leaves alone where a registration does not set them."""


def apply_deployments(
    deployments: list[RunnerDeployment],
    crons: Mapping[str, CronSchedule | None],
    *,
    client: SyncPrefectClient,
    record: Path,
) -> None:
    """Register deployments; leave the schedules of those that are there alone unless `crons` changed.

    Args:
        deployments: without schedules.
        crons: deployment name to the schedule that params.yaml asks for; None: no schedule.
        client: of the Prefect server.
        record: file that keeps what was asked for at the last start.
    """
    wanted = {name: "" if cron is None else f"{cron.cron} {cron.timezone}" for name, cron in crons.items()}
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for deployment in deployments:
        name = deployment.name
        existing = _find(client, deployment)
        if existing is not None:
            deployment.model_fields_set.difference_update(KEPT_FIELDS)
        if name in wanted and (existing is None or before.get(name) != wanted[name]):
            _set_schedule(deployment, crons[name], existing, client)
        deployment.apply()
        deployment.schedules = []
        deployment.model_fields_set.difference_update(KEPT_FIELDS)  # serving applies it once more
    with replacing(record) as partial:
        partial.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def ensure_automation(
    trigger: DeploymentEventTrigger, deployment: RunnerDeployment, *, client: SyncPrefectClient
) -> None:
    """Make the automation that starts a deployment on an event, where none of its name is there.

    Args:
        trigger: with the automation's name.
        deployment: to be started; it is registered.
        client: of the Prefect server.
    """
    assert trigger.name, "an automation is found by its name"
    found = _find(client, deployment)
    assert found is not None, "the deployment is registered"
    if client.read_automations_by_name(trigger.name):
        return
    trigger.set_deployment_id(found.id)
    # Prefect deletes what a deployment owns each time that it is registered.
    client.create_automation(trigger.as_automation().model_copy(update={"owner_resource": None}))


def _find(client: SyncPrefectClient, deployment: RunnerDeployment) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
    except ObjectNotFound:
        return None


def _set_schedule(
    deployment: RunnerDeployment,
    cron: CronSchedule | None,
    existing: DeploymentResponse | None,
    client: SyncPrefectClient,
) -> None:
    """Ask for one schedule in place of those that are there; it is paused where all of them were."""
    old = existing.schedules if existing else []
    if cron is not None:
        active = not old or any(schedule.active for schedule in old)
        deployment.schedules = [DeploymentScheduleCreate(schedule=cron, active=active)]
    elif existing is not None:
        for schedule in old:
            client.delete_deployment_schedule(existing.id, schedule.id)
