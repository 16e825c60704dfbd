"""Runs of the flows' deployments on the local Prefect server, over its REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deepfakestream.errors import ServerError
from infra.demo.client import get_json, post_json, query_json

TIMEOUT_S = 3600.0
_POLL_S = 0.5
_RUNNING, _DONE = {"RUNNING"}, {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """One task of a flow run."""

    name: str
    state: str
    """Prefect's word: RUNNING, COMPLETED, FAILED ..."""
    seconds: float


class Flows:
    """Starts and watches runs."""

    def __init__(self, api_url: str, still_up: Callable[[], None]) -> None:
        """Keep the address.

        Args:
            api_url: of the Prefect server.
            still_up: is called while waiting; raises where a server has ended.
        """
        self._api_url = api_url
        self._still_up = still_up

    def start(self, deployment: str, **parameters: Any) -> str:
        """Start a run of `flow/deployment` and return its id."""
        found = get_json(f"{self._api_url}/deployments/name/{deployment}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        run = post_json(f"{self._api_url}/deployments/{found['id']}/create_flow_run", body)
        return str(run["id"])

    def wait(self, run_id: str) -> Iterator[list[TaskState]]:
        """Yield the run's tasks, in the order of their start, again and again until it has completed.

        Raises:
            ServerError: the run failed, with its message, or took too long; or a server ended.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            self._still_up()
            run = get_json(f"{self._api_url}/flow_runs/{run_id}")
            yield self.tasks(run_id)
            if run["state_type"] in _DONE:
                _require_completed(run)
                return
            time.sleep(_POLL_S)
        raise ServerError(f"flow run {run_id} has not ended after {TIMEOUT_S:.0f} s; see the Prefect UI")

    def tasks(self, run_id: str) -> list[TaskState]:
        """Return the tasks of a run that have begun."""
        query = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = query_json(f"{self._api_url}/task_runs/filter", query)
        return [
            TaskState(name=_plain(each["name"]), state=each["state_type"], seconds=_seconds(each))
            for each in found
            if each["state_type"] in _RUNNING | _DONE
        ]

    def newest(self, flow: str) -> str | None:
        """Return the id of the newest run of a flow that was not merely planned, or None."""
        query = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"state": {"type": {"any_": sorted({"PENDING"} | _RUNNING | _DONE)}}},
            "sort": "START_TIME_DESC",
            "limit": 1,
        }
        found = query_json(f"{self._api_url}/flow_runs/filter", query)
        return str(found[0]["id"]) if found else None

    def after(self, flow: str, before: str | None, *, timeout_s: float) -> str | None:
        """Wait for a run of a flow that is newer than `before`; return its id, or None if none begins."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._still_up()
            found = self.newest(flow)
            if found is not None and found != before:
                return found
            time.sleep(_POLL_S)
        return None


def _require_completed(run: dict[str, Any]) -> None:
    if run["state_type"] != "COMPLETED":
        message = (run.get("state") or {}).get("message") or "no message"
        raise ServerError(
            f"the flow run {run['name']} ended as {run['state_type'].lower()}: {message}; "
            "see work/logs/flows.log in the demo's folder"
        )


def _plain(name: str) -> str:
    """Return a task run's name without the number that Prefect appends to unnamed ones."""
    stem, _, tail = name.rpartition("-")
    return stem if stem and len(tail) == 3 else name


def _seconds(task: dict[str, Any]) -> float:
    if not task["start_time"]:
        return 0.0
    end = datetime.fromisoformat(task["end_time"]) if task["end_time"] else datetime.now(UTC)
    return (end - datetime.fromisoformat(task["start_time"])).total_seconds()
