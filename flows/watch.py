"""Watches the loop from outside, and sends the alerts that wait: `python -m flows.watch`.

It is a process of its own, because what it watches for is that the flows do not run: no drift check completed
for three intervals of its schedule, a flow run that failed or crashed, a Prefect server or a registry that
does not answer.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.signals import stopped_by_signals
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.alerter import Alerter
from deepfakestream.monitoring.drift_report import SIGN
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.silence import NUM_INTERVALS, silent_since
from deepfakestream.pipeline.retrain import FAILED
from deepfakestream.registry.champion import champion_version
from deepfakestream.settings import Settings
from deepfakestream.wiring import flow_run_page, mlflow_store, open_alerter
from flows.workspace import workspace

FLOWS = ("ingest", "train", "drift", "retrain")
WATCHING = "watching the flows, the registry and the schedule of drift checks"
EVERY_S = 20.0
ENDED = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED)
_FAILURES_IN_A_ROW = 3
"""So many questions without an answer are an alert: a server that restarts answers again soon."""
logger = logging.getLogger(__name__)


class Watch:
    """Looks again and again; every finding is a condition that begins and ends."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Remember where to look.

        Args:
            settings: of the workspace.
            clock: returns the time now, UTC.
        """
        self._settings = settings
        self._alerter = open_alerter(settings)
        self._clock = clock
        self._since = clock()
        self._unanswered: dict[str, int] = {}

    def look(self, drift: DriftParams) -> None:
        """Look once at everything, and send what waits; nothing that fails here stops the next look.

        Args:
            drift: with the schedule of the check.
        """
        self._ask("registry", lambda: champion_version(mlflow_store(self._settings)))
        self._ask("prefect", lambda: self._look_at_flows(drift))
        self._alerter.send_waiting()

    def _ask(self, server: str, question: Callable[[], object]) -> None:
        condition, kind = f"{server} does not answer", f"{server}.unreachable"
        try:
            question()
        except Exception as error:  # noqa: BLE001 - whatever a client raises, the next look comes
            count = self._unanswered[server] = self._unanswered.get(server, 0) + 1
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            logger.warning("%s (%d times in a row): %s", condition, count, *reason)
            if count >= _FAILURES_IN_A_ROW:
                self._alerter.begin(condition, kind, f"the {condition}: {reason[0]}")
            return
        if self._unanswered.get(server) != 0:  # also at the first look: an earlier process may have raised it
            self._alerter.end(condition, kind, f"the {server} answers again")
        self._unanswered[server] = 0

    def _look_at_flows(self, drift: DriftParams) -> None:
        with get_client(sync_client=True) as client:
            for flow in FLOWS:
                check_runs(flow, client, self._alerter, self._settings)
            self._check_silence(client, drift)

    def _check_silence(self, client: SyncPrefectClient, drift: DriftParams) -> None:
        condition, kind = "drift checks are missing", "drift.silent"
        planned = active_crons(client)
        crons = planned or ([(drift.cron, "UTC")] if drift.cron else [])
        now = self._clock()
        book = AlertBook(self._settings.alerts_db, directory=self._settings.alerts_dir)
        sign = book.last_sign(SIGN)
        last = sign.seen_at if sign else None
        since = silent_since(crons, last=last, watched_from=self._since, now=now)
        if since is None:
            if last is not None and last > self._since:
                self._alerter.end(condition, kind, f"a drift check completed at {last:%Y-%m-%d %H:%M} UTC")
            return
        paused = "" if planned else "; its schedule is paused or removed in Prefect"
        seen = f"since {last:%Y-%m-%d %H:%M} UTC" if last else "yet"
        self._alerter.begin(
            condition,
            kind,
            f"no drift check completed {seen}: {NUM_INTERVALS} planned ones in a row are missing{paused}",
            links={"flow runs": f"{self._settings.prefect_page_url}/runs"},
        )


def check_runs(flow: str, client: SyncPrefectClient, alerter: Alerter, settings: Settings) -> None:
    """Alert where the newest run of a flow that ended has failed or crashed; say so when one completed again.

    While a run is under way, nothing is said: it may be the one that mends it.

    Args:
        flow: its name.
        client: of the Prefect server.
        alerter: of the workspace.
        settings: of the workspace.
    """
    if newest_run(flow, client, StateType.RUNNING, StateType.PENDING):
        return
    run = newest_run(flow, client, *ENDED)
    condition = FAILED if flow == "retrain" else f"runs of the flow {flow} fail"
    kind = "retrain.failed" if flow == "retrain" else "flow.failed"
    if run is None or run.state is None:
        return
    if run.state.type == StateType.COMPLETED:
        if condition in alerter.open_conditions():
            alerter.end(condition, kind, f"run {run.name} of the flow {flow} completed")
        return
    message = (run.state.message or "").strip().splitlines()[:1]
    alerter.begin(
        condition,
        kind,
        f"run {run.name} of the flow {flow} ended as {run.state.name}: {' '.join(message) or 'no message'}",
        links={"flow run": flow_run_page(settings, str(run.id))},
        facts={"flow": flow, "flow_run_id": str(run.id)},
    )


def newest_run(flow: str, client: SyncPrefectClient, *types: StateType) -> FlowRun | None:
    """Return the run of a flow in one of these states that ended or started last, or None.

    Args:
        flow: its name.
        client: of the Prefect server.
        types: of states.
    """
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*types]))),
        sort=FlowRunSort.END_TIME_DESC,
        limit=1,
    )
    return found[0] if found else None


def active_crons(client: SyncPrefectClient) -> list[tuple[str, str]]:
    """Return the schedules that are active for the drift check in Prefect, with their time zones.

    Args:
        client: of the Prefect server.
    """
    try:
        deployment = client.read_deployment_by_name("drift/drift")
    except ObjectNotFound:
        return []
    if deployment.paused:
        return []
    schedules = [each.schedule for each in deployment.schedules if each.active]
    return [(each.cron, each.timezone or "UTC") for each in schedules if isinstance(each, CronSchedule)]


def main() -> None:
    """Watch until Ctrl-C or TERM."""
    # Prefect has set up the root logger when it was imported.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _, settings = workspace()
    watch = Watch(settings)
    sys.stdout.write(f"{WATCHING}\n")
    sys.stdout.flush()
    pause = threading.Event()
    with stopped_by_signals():
        while True:
            try:
                watch.look(workspace()[0].drift)
            except DeepfakeStreamError as error:  # params.yaml is being edited
                logger.warning("%s", error)
            pause.wait(EVERY_S)


if __name__ == "__main__":
    main()
