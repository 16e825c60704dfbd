"""Ask the governor; if it agrees, make another model and let the gate decide about it."""

from __future__ import annotations

from prefect import flow, get_run_logger, task

from deepfakestream.pipeline import retrain as step
from deepfakestream.pipeline.stages import renew
from deepfakestream.registry.champion import champion_version
from deepfakestream.wiring import mlflow_store
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
    version = champion_version(mlflow_store(settings))
    with step.attempt(params.retrain, settings=settings, model_version=version, force=force) as current:
        log.info(current.decision.describe())
        said = current.run_steps(run_stage, promote)
    if said:
        log.info(said)
    return said or current.decision.describe()
