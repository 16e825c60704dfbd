"""Starts the system on this machine, keeps it running, and stops it: MLflow, Prefect, Evidently, the service.

Every server listens on `settings.host` and keeps its store in `work/`. Whatever happens while they start or
run (Ctrl-C, TERM, a server that does not start), those that were started are stopped, the needed ones last.
A server that ends or hangs later is started again, and the others go on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from deepfakestream.host.signals import stopped_by_signals
from deepfakestream.local.catalogue import CATALOGUE, ServerSpec, worker_server
from deepfakestream.local.child import Child, Listener
from deepfakestream.local.console import Console
from deepfakestream.local.keeper import Keeper
from deepfakestream.local.pages import pages
from deepfakestream.local.ports import require_free
from deepfakestream.local.proxies import bypass_proxy
from deepfakestream.local.running_record import remove_record, require_none_runs
from deepfakestream.local.starting import ended, start
from deepfakestream.params import load_params
from deepfakestream.registry.store import is_server, prepare_store
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

ALL = tuple(CATALOGUE)
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServers:
    """Servers that answer."""

    settings: Settings
    """The settings that reach them: with the address of the MLflow server, where one was started."""
    addresses: dict[str, str]
    """Server name to the address that a person opens."""
    children: list[Child]
    """Those that run; the caller of `keep_running` may find others later."""
    specs: dict[str, ServerSpec]
    """Server name to how it is started."""
    listener: Listener

    def check(self) -> None:
        """Do nothing while all of them run.

        Raises:
            ServerError: one has ended; the message has its last lines.
        """
        for child in self.children:
            if error := ended(child):
                raise error


def up(settings: Settings) -> None:
    """Start everything, print the addresses and one log, and stop everything on Ctrl-C or TERM.

    Raises:
        ParamsError: the folder is no workspace, or its `params.yaml` is wrong.
        ServerError: this workspace is served already, a port is busy, or a server does not start in time.
    """
    _foreground(settings, ALL)


def serve(settings: Settings, port: int | None = None) -> None:
    """Run the service alone until Ctrl-C or TERM.

    Args:
        settings: the workspace.
        port: where to listen; default: `settings.service_port`.

    Raises:
        ParamsError: as `up`.
        ServerError: as `up`.
    """
    chosen = settings if port is None else settings.model_copy(update={"service_port": port})
    _foreground(chosen, ("service",))


@contextmanager
def running(
    settings: Settings, which: Sequence[str] = ALL, *, listener: Listener = lambda _name, _line: None
) -> Iterator[RunningServers]:
    """Start servers, yield them when each answers, stop them when the block ends.

    Args:
        settings: ports, stores and workspace.
        which: names out of `ALL`. MLflow is left out where the settings name a tracking server.
        listener: gets every line that a server prints; the logs are in `work/logs/` in any case.

    Raises:
        ServerError: a port is busy (nothing is started then), or a server ends or does not answer in time.
    """
    require_ports(settings, which)
    specs, served = _choose(settings, which)
    if any(spec.name == "mlflow" for spec in specs):
        prepare_store(mlflow_store(settings))
    bypass_proxy(settings.host)
    children: list[Child] = []
    try:
        start(specs, served, listener, children)
        yield RunningServers(
            settings=served,
            addresses={spec.name: spec.address for spec in specs},
            children=children,
            specs={spec.name: spec for spec in specs},
            listener=listener,
        )
    finally:
        stop_servers(children, specs)


def stop_servers(children: Sequence[Child], specs: Sequence[ServerSpec]) -> None:
    """Stop servers and wait until all have ended: at the same time, but those that others need last.

    Args:
        children: that were started.
        specs: of them all.
    """
    needed = {name for spec in specs for name in spec.needs}
    for is_needed in (False, True):
        group = [child for child in children if (child.name in needed) == is_needed]
        with ThreadPoolExecutor(max_workers=max(1, len(group))) as threads:
            list(threads.map(Child.stop, group))


def require_ports(settings: Settings, which: Sequence[str] = ALL) -> None:
    """Return if every server could listen on its port.

    Args:
        settings: of the workspace.
        which: names of servers.

    Raises:
        ServerError: a port is busy; the message names the setting to change.
    """
    for spec in _choose(settings, which)[0]:
        if spec.port is not None:
            require_free(settings.host, spec.port, server=spec.name, setting=spec.port_setting)


def _choose(settings: Settings, which: Sequence[str]) -> tuple[list[ServerSpec], Settings]:
    """Return what to start, in order, and the settings that they get: with the address of MLflow in them."""
    names = [
        name for name in ALL if name in which and (name != "mlflow" or not is_server(mlflow_store(settings)))
    ]
    update = {"tracking_uri": settings.mlflow_url} if "mlflow" in names else {}
    # MLflow itself opens the store, so it alone is made from the settings as they were.
    specs = [CATALOGUE[name](settings) for name in names]
    if "service" in names:
        specs += [worker_server(number) for number in range(1, settings.job_workers + 1)]
    return specs, settings.model_copy(update=update)


def _foreground(settings: Settings, which: Sequence[str]) -> None:
    load_params(settings.params_file)  # elsewhere nothing is started, and no stores are made
    require_none_runs(settings.work_dir)
    console = Console([spec.name for spec in _choose(settings, ALL)[0]], sys.stdout)
    with stopped_by_signals(), running(settings, which, listener=console.server_line) as servers:
        keeper = Keeper(servers.children, servers.specs, servers.settings, console.server_line)
        try:
            for name, address in servers.addresses.items():
                console.line(f"{name:9} is ready: {address}")
            for line in pages(settings, servers.addresses):
                console.line(line)
            console.line("Ctrl-C stops " + ("everything" if len(servers.children) > 1 else "it"))
            while True:
                keeper.look()
                time.sleep(_WATCH_S)
        finally:
            keeper.stop()
            remove_record(settings.work_dir)
