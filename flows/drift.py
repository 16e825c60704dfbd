"""The scheduled drift check: report, artifact and, on drift, the event that may start a retraining."""

from __future__ import annotations

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.events import emit_event

from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.pipeline import drift as step
from flows.run_page import outcome, run_name
from flows.workspace import workspace

DRIFT_EVENT = "deepfakestream.drift.confirmed"
MODEL_RESOURCE = "deepfakestream.model"


@task
def check() -> DriftReport:
    """Compare the newest predictions with the champion's reference."""
    params, settings = workspace()
    return step.run(params.drift, settings=settings)


@task(retries=2, retry_delay_seconds=5)
def publish(report: DriftReport) -> None:
    """Put the findings, and a link to the pages of drift over time, on the run's page in Prefect."""
    create_markdown_artifact(report.as_markdown(), key="drift-findings")
    if report.html:
        create_link_artifact(
            workspace()[1].drift_page_url,
            link_text="drift over time",
            key="drift-report",
            description=f"Browsers open no files from here; the report of this check is `{report.html}`.",
        )


@task(retries=2, retry_delay_seconds=5)
def announce(report: DriftReport, model: str) -> None:
    """Emit the event that the retrain deployment listens for."""
    emit_event(
        event=DRIFT_EVENT,
        resource={"prefect.resource.id": f"{MODEL_RESOURCE}.{model}", "prefect.resource.name": model},
        payload={"summary": f"drift: {report.reason}", "report": report.model_dump(mode="json")},
    )


@flow(name="drift", flow_run_name=run_name)
def drift() -> State[str]:
    """Check once; every check that finds drift says so, the governor decides what that is worth."""
    report = check()
    get_run_logger().info(report.describe())
    publish(report)
    if report.status == "drift":
        announce(report, workspace()[1].registered_model)
    return outcome(report.status, report.reason, result=report.status)
