"""Commands explain themselves, documents name each of them, and what documents call is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from deepfakestream.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
ALL_TEXT = "\n".join(TEXTS.values())
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
CALL = re.compile(r"(?<![\w.])(?<!from )deepfakestream (?:[^`\n#|;&\\]|\\\n)+")


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Return every command by its full name, groups and what is in them."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if is_group(command):
            found |= commands(command, f"{prefix}{name} ")
    return found


def is_group(command: Any) -> bool:
    return hasattr(command, "commands")


PROGRAM = typer.main.get_command(app)
COMMANDS = commands(PROGRAM)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_parameters_say_what_they_do(name: str) -> None:
    first = (COMMANDS[name].help or "").strip().splitlines()[0]
    assert first.endswith(".")
    assert [one.name for one in COMMANDS[name].params if one.name != "help" and not one.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert re.search(rf"\bdeepfakestream {name}\b", ALL_TEXT)


@pytest.mark.parametrize("name", TEXTS)
def test_documents_call_commands_and_options_that_exist(name: str) -> None:
    for code in CODE.findall(TEXTS[name]):
        for call in CALL.findall(code):
            words = call.split()[1:]
            called = longest_command(words)
            assert called or words[0].startswith("--"), f"{name}: {call}"
            command = COMMANDS[called] if called else PROGRAM
            assert not called or not is_group(command) or words == called.split(), f"{name}: {call}"
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= {*known, "--help"}, f"{name}: {call}"


def longest_command(words: list[str]) -> str:
    """Return the name of the command that these words call, or nothing."""
    starts = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((start for start in starts if start in COMMANDS), "")
