"""Git, asked through its program."""

from __future__ import annotations

import subprocess
from pathlib import Path


def ask_git(directory: Path, *arguments: str) -> str | None:
    """Return what git prints about a directory; None where it fails, or where there is no git.

    Args:
        directory: where git is run.
        arguments: command and options, e.g. `"rev-parse", "HEAD"`; they must only read.
    """
    # In a container the files may belong to another user, and git refuses to read them otherwise.
    command = ["git", "-c", "safe.directory=*", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
