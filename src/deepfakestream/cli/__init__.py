"""The command line: one verb a step; parses, builds, runs, prints, and maps errors to exit codes."""

from __future__ import annotations

import sys

from deepfakestream.cli.app import app
from deepfakestream.errors import DeepfakeStreamError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a known error is one sentence on standard error and exit status 1."""
    try:
        app()
    except DeepfakeStreamError as error:
        sys.exit(f"deepfakestream: {error}")
