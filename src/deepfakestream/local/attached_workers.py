"""Workers next to a service that somebody else starts, as `bentoml serve` starts a bento.

They end with the process that called, however that ends. One that ends by itself is started again.
"""

from __future__ import annotations

import sys
import threading
import time

from deepfakestream.local.catalogue import worker_server
from deepfakestream.local.child import Child
from deepfakestream.local.console import Console
from deepfakestream.local.keeper import FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_S
from deepfakestream.local.starting import launch
from deepfakestream.settings import Settings

_WATCH_S = 0.5


def attach_workers(settings: Settings) -> list[threading.Thread]:
    """Start `settings.job_workers` workers, each looked after by a thread; their lines go to standard error.

    Args:
        settings: of the workspace whose queue they take jobs from.
    """
    specs = [worker_server(number) for number in range(1, settings.job_workers + 1)]
    console = Console([spec.name for spec in specs] or [""], sys.stderr)

    def keep(child: Child, number: int) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_at = time.monotonic()
            while child.exit_status is None:
                time.sleep(_WATCH_S)
            if time.monotonic() - began_at > STABLE_S:
                pause_s = FIRST_PAUSE_S
            console.line(f"{child.name} ended with status {child.exit_status}; starts again in {pause_s:g} s")
            child.stop()  # nothing of it may be left
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            child = launch(specs[number], settings, console.server_line)

    threads = []
    for number, spec in enumerate(specs):
        child = launch(spec, settings, console.server_line)
        threads.append(threading.Thread(target=keep, args=(child, number), name=spec.name, daemon=True))
        threads[-1].start()
    return threads
