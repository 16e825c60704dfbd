"""Keeps servers running: one that ends or hangs is started again, at once and then after longer pauses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from deepfakestream.errors import ServerError
from deepfakestream.host.process_place import process_name
from deepfakestream.host.signals import signals_held
from deepfakestream.local.catalogue import ServerSpec
from deepfakestream.local.child import Child, Listener
from deepfakestream.local.liveness import Liveness
from deepfakestream.local.running_record import RunningRecord, RunningServer, record_server, write_record
from deepfakestream.local.starting import ended, launch
from deepfakestream.settings import Settings
from deepfakestream.wiring import open_alerter

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STABLE_S = 60.0
"""A server that ran for so long after its restart is well again."""


@dataclass(slots=True)
class _Restarts:
    """How often a server was started again, and when it may be next."""

    count: int = 0
    pause_s: float = 0.0
    next_at: float = 0.0
    started_at: float = 0.0
    is_ill: bool = False
    """It has ended or hung, and has not run for long enough since."""


class Keeper:
    """Looks after the servers of one starter, and keeps the record of what runs."""

    def __init__(
        self,
        children: list[Child],
        specs: Mapping[str, ServerSpec],
        settings: Settings,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        ask: Callable[[str], Liveness] = Liveness,
    ) -> None:
        """Write the record of what runs.

        Args:
            children: the servers; one that is started again takes its place in this list.
            specs: server name to how it is started.
            settings: given to servers.
            listener: gets every line that a server prints.
            clock: returns seconds that only grow.
            ask: begins to ask the server of an address whether it works.
        """
        self._children = children
        self._specs = specs
        self._settings = settings
        self._listener = listener
        self._clock = clock
        self._ask = ask
        self._alerter = open_alerter(settings, sends=False)
        self._restarts = {child.name: _Restarts() for child in children}
        now = _now()
        self._record = RunningRecord(
            process=process_name(),
            pid=os.getpid(),
            started_at=now,
            servers={child.name: self._entry(child, now) for child in children},
        )
        write_record(settings.work_dir, self._record)
        self._liveness: dict[str, Liveness] = {}
        for child in children:
            self._watch(child.name)
            self._end_alerts(child.name, "runs")

    def look(self) -> None:
        """Start again what has ended or hangs and whose pause is over; the others are left alone."""
        now = self._clock()
        for index, child in enumerate(self._children):
            state = self._restarts[child.name]
            liveness = self._liveness.get(child.name)
            error = ended(child)
            if error is None and not (liveness and liveness.is_hung):
                state.next_at = 0.0  # it came to itself
                is_well = liveness is None or liveness.is_well
                if state.is_ill and is_well and now - state.started_at >= max(STABLE_S, state.pause_s):
                    state.is_ill, state.pause_s = False, 0.0
                    self._end_alerts(child.name, "runs again")
                continue
            if not state.next_at:
                state.next_at = now + state.pause_s
                state.is_ill = True
                self._report(child, error, state)
            if now >= state.next_at:
                self._start_again(index, state, now)

    def stop(self) -> None:
        """Ask no server any more whether it works."""
        for liveness in self._liveness.values():
            liveness.stop()

    def _report(self, child: Child, error: ServerError | None, state: _Restarts) -> None:
        kind = "server.hung" if error is None else "server.ended"
        what = "does not answer any more" if error is None else f"ended with status {child.exit_status}"
        text = f"{child.name} {what}" if error is None else str(error)
        self._listener(child.name, f"{text}\nstarting it again in {state.pause_s:.0f} s")
        self._alerter.begin(
            _conditions(child.name)[kind],
            kind,
            f"{child.name} {what}; its log is {child.log}",
            facts={"server": child.name, "restarts": state.count, "last_lines": child.last_lines},
        )

    def _end_alerts(self, name: str, what: str) -> None:
        for kind, condition in _conditions(name).items():
            self._alerter.end(condition, kind, f"{name} {what}")

    def _watch(self, name: str) -> None:
        if name in self._liveness:
            self._liveness[name].stop()
        if url := self._specs[name].live_url:
            self._liveness[name] = self._ask(url)

    def _start_again(self, index: int, state: _Restarts, now: float) -> None:
        child = self._children[index]
        child.stop()  # nothing of it may be left
        state.count += 1
        state.next_at, state.started_at = 0.0, now
        state.pause_s = min(max(2 * state.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        with signals_held():
            self._children[index] = launch(self._specs[child.name], self._settings, self._listener)
        self._watch(child.name)
        entry = self._entry(self._children[index], _now(), state.count)
        self._record = self._record.model_copy(
            update={"servers": {**self._record.servers, child.name: entry}}
        )
        write_record(self._settings.work_dir, self._record)

    def _entry(self, child: Child, started_at: str, num_restarts: int = 0) -> RunningServer:
        return record_server(child, self._specs[child.name].address, started_at, num_restarts)


def _conditions(name: str) -> dict[str, str]:
    """Return the conditions that a server may be in, by the kind of alert."""
    return {"server.ended": f"server {name} ended", "server.hung": f"server {name} hangs"}


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
