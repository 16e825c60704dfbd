"""Text for a terminal: names of files must not write on it."""

from __future__ import annotations

import unicodedata


def terminal_safe(text: str) -> str:
    """Return the text with control characters as escapes, but for its line breaks.

    A file's name may hold colour codes and marks that turn the direction of writing: whatever Unicode calls
    "other" or a separator of lines.
    """
    return "".join(character if _is_harmless(character) else _escaped(character) for character in text)


def one_line(text: str) -> str:
    """Return the text as `terminal_safe` does, its line breaks as escapes too."""
    return terminal_safe(text).replace("\n", "\\n")


def _is_harmless(character: str) -> bool:
    category = unicodedata.category(character)
    return character == "\n" or not (category[0] == "C" or category in {"Zl", "Zp"})


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
