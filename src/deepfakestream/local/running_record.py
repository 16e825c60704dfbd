"""What `up` or `serve` runs in a workspace, for other commands: `work/running.json`, kept while it runs."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from deepfakestream.errors import ServerError
from deepfakestream.frozen import Frozen
from deepfakestream.host.process_place import is_running, process_name
from deepfakestream.host.process_tree import kill_descendants
from deepfakestream.host.whole_files import replacing
from deepfakestream.local.child import Child

RECORD_FILE = "running.json"
STOP_TIMEOUT_S = 60.0


class RunningServer(Frozen):
    """One server process."""

    name: str
    address: str
    """What a person opens."""
    process: str
    """Name of its process, which tells whether it still runs."""
    pid: int
    started_at: str
    log: str
    num_restarts: int = 0


class RunningRecord(Frozen):
    """The starter and its servers."""

    process: str
    """Name of the starter's process."""
    pid: int
    started_at: str
    servers: dict[str, RunningServer]


def record_server(child: Child, address: str, started_at: str, num_restarts: int = 0) -> RunningServer:
    """Return what is to be known of a server that has just started.

    Args:
        child: the server.
        address: what a person opens.
        started_at: moment, for people.
        num_restarts: how often it was started again.
    """
    return RunningServer(
        name=child.name,
        address=address,
        process=process_name(child.pid),
        pid=child.pid,
        started_at=started_at,
        log=str(child.log),
        num_restarts=num_restarts,
    )


def write_record(work_dir: Path, record: RunningRecord) -> None:
    """Keep the record; a disk that is full keeps an older one."""
    with suppress(OSError), replacing(work_dir / RECORD_FILE) as partial:
        partial.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_record(work_dir: Path) -> RunningRecord | None:
    """Return the record, or None where nothing was started or everything was stopped."""
    try:
        return RunningRecord.model_validate_json((work_dir / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_up(record: RunningRecord | None) -> bool:
    """Return whether the starter of the record runs; it does not where there is no record."""
    return record is not None and bool(is_running(record.process))


def remove_record(work_dir: Path) -> None:
    """Forget the record of servers that were stopped."""
    (work_dir / RECORD_FILE).unlink(missing_ok=True)


def require_none_runs(work_dir: Path) -> None:
    """Return if no other process serves the workspace.

    Raises:
        ServerError: one does; the message names its number and how to end it.
    """
    record = read_record(work_dir)
    if record is not None and is_up(record):
        raise ServerError(
            f"{work_dir.parent.resolve()}: process {record.pid} serves this workspace since "
            f"{record.started_at}; see 'deepfakestream status', end it with 'deepfakestream down'"
        )


def stop_all(record: RunningRecord, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
    """End the starter and what is left of its servers; return the names of the processes that were ended.

    A process is ended by its number and start, so that another one that got the number since is left alone.

    Args:
        record: of what runs.
        timeout_s: how long the starter may take to stop its servers before it is killed.

    Raises:
        ServerError: a process could not be ended.
    """
    ended = []
    if is_up(record):
        os.kill(record.pid, signal.SIGTERM)
        if not _has_ended(record.process, timeout_s):
            os.kill(record.pid, signal.SIGKILL)  # its servers notice and end
        ended.append("up")
    for server in record.servers.values():
        if is_running(server.process) and not _has_ended(server.process, timeout_s / 4):
            kill_descendants(server.pid)
            with suppress(psutil.NoSuchProcess):
                psutil.Process(server.pid).kill()
            if not _has_ended(server.process, timeout_s / 4):
                raise ServerError(f"{server.name}: process {server.pid} cannot be ended; end it by hand")
            ended.append(server.name)
    return ended


def _has_ended(process: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
