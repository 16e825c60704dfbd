"""What `--help` prints."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from deepfakestream.cli import app


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


@pytest.mark.parametrize("command", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_lines_of_a_description_are_full(command: tuple[str, ...]) -> None:
    """Where the source wraps its lines is no place for a line of 80 columns to end."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).output
    lines = [line.rstrip() for line in shown.partition("\u256d")[0].splitlines()]
    assert any(lines)
    for line, following in pairwise(lines):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 79, line
