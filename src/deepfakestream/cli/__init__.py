"""The command line: one verb a step; parses, builds, runs, prints, and maps errors to exit codes."""

from __future__ import annotations

import errno
import sys

from deepfakestream.cli.app import app
from deepfakestream.errors import DeepfakeStreamError
from deepfakestream.host.signals import interrupted_by_signals
from deepfakestream.host.terminal import terminal_safe

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a known error is one sentence on standard error and exit status 1.

    TERM ends a command as Ctrl-C does: what it started is ended, and its MLflow run is marked as killed.
    """
    interrupted_by_signals()
    try:
        app()
    except DeepfakeStreamError as error:
        sys.exit(terminal_safe(f"deepfakestream: {error}"))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        where = error.filename or "what this command writes"
        sys.exit(terminal_safe(f"deepfakestream: {where}: {error.strerror}; free some and run it again"))
