"""What a command prints about its work."""

from __future__ import annotations

import typer

from deepfakestream.host.terminal import terminal_safe

HELP_FLAGS = {"help_option_names": ["-h", "--help"]}
"""Context settings of every group of commands."""


def say(text: str) -> None:
    """Print a report; names of files in it cannot write on the terminal."""
    typer.echo(terminal_safe(text))
