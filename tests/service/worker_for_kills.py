"""A worker with a stand-in for the model, run as a process by test_kills: it stops at a given place.

Arguments: address of the store, folder of media, folder for marks, state to stop in (or none).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from deepfakestream.jobs.analyses import Analyses
from deepfakestream.jobs.media_store import FolderStore
from deepfakestream.jobs.queue import JobQueue
from deepfakestream.jobs.retention import Caretaker
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import Job, Retention
from deepfakestream.service import worker as worker_module
from deepfakestream.service.scanner import Scanner
from deepfakestream.service.stores import Stores
from deepfakestream.service.worker import Worker


def main() -> None:
    url, media_dir, marks, stop_in = sys.argv[1:]
    worker_module.RETRY_S = 0.1
    database = open_job_store(url)
    media = FolderStore(Path(media_dir))
    analyses = Analyses(database, retention=Retention(media_h=1, result_h=1))
    stores = Stores(
        database=database, analyses=analyses, queue=JobQueue(database, analyses), media=media,
        caretaker=Caretaker(database, media), keys=None,  # type: ignore[arg-type]
    )  # fmt: skip

    def on_state(state: str, _job: Job) -> None:
        if state == stop_in:
            (Path(marks) / state).touch()
            time.sleep(600)

    scan = [sys.executable, str(Path(__file__).with_name("scanner_for_kills.py")), marks, stop_in]
    worker: Any = Worker(
        stores, Scanner(scan), Scanner(scan), job_timeout_s=60, allow_private_webhooks=True, on_state=on_state
    )
    worker.run()


if __name__ == "__main__":
    main()
