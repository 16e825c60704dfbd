"""Starts the workers of this machine and ends them."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

from deepfakestream.sections import read_section
from deepfakestream.service.params import ServeParams
from deepfakestream.service.scanner import BACKGROUND_COMMAND, Scanner
from deepfakestream.service.stores import open_stores
from deepfakestream.service.worker import Worker
from deepfakestream.settings import Settings

READY = "the worker takes jobs"
"""What a worker says when it begins; `serve` and `up` wait for it."""


def work(settings: Settings) -> None:
    """Run one worker until Ctrl-C or TERM; the job that it is at goes back into the queue.

    Raises:
        ParamsError: the folder is no workspace, or its `params.yaml` is wrong.
        DataError: the job store or the folder of media cannot be used.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s [%(levelname)s] %(name)s: %(message)s", stream=sys.stderr
    )
    params = read_section(settings.params_file, "serve", ServeParams)
    stores = open_stores(settings, params)
    worker = Worker(
        stores,
        Scanner(),
        Scanner(BACKGROUND_COMMAND),
        job_timeout_s=params.job_timeout_s,
        allow_private_webhooks=settings.webhook_private,
    )

    def end(_number: int, _frame: FrameType | None) -> None:
        worker.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    logging.getLogger(__name__).info("%s: %s", READY, worker.name)
    try:
        worker.run()
    finally:
        stores.close()
