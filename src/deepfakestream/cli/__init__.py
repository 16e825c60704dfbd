"""The command line: one verb a step; parses, builds, runs, prints, and maps errors to exit codes."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from deepfakestream.cli.app import app
from deepfakestream.errors import DeepfakeStreamError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a known error is one sentence on standard error and exit status 1.

    TERM ends a command as Ctrl-C does: what it started is ended, and its MLflow run is marked as killed.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except DeepfakeStreamError as error:
        sys.exit(f"deepfakestream: {error}")


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not disturb the cleaning up
    raise KeyboardInterrupt
