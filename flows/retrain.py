"""Ask the governor; if it agrees, make another model and let the gate decide about it."""

from __future__ import annotations

from prefect import flow, get_run_logger, task

from deepfakestream.pipeline import retrain as step
from deepfakestream.pipeline.stages import STAGES, renew
from deepfakestream.registry.champion import champion_version
from flows.train import promote
from flows.workspace import workspace


@task(task_run_name="{stage}")
def run_stage(stage: str) -> None:
    """Run one stage of dvc.yaml; `train` always makes another model."""
    _, settings = workspace()
    renew(settings, stage)


@flow(name="retrain")
def retrain(reason: str = "asked for by hand", force: bool = False) -> str:
    """Retrain if the governor agrees. A refusal is a completed run that says why."""
    params, settings = workspace()
    log = get_run_logger()
    log.info("reason: %s", reason)
    version = champion_version(settings)
    with step.attempt(params.retrain, settings=settings, model_version=version, force=force) as current:
        log.info(current.decision.describe())
        if not current.decision.allowed:
            return current.decision.describe()
        for stage in STAGES:
            current.lease.check()
            run_stage(stage)
        current.lease.check()
        current.outcome, summary = promote()
    log.info(summary)
    return summary
