"""Text for a terminal: names of files must not write on it."""

from __future__ import annotations

import unicodedata


def terminal_safe(text: str) -> str:
    """Return the text with control characters as escapes, but for its line breaks.

    A file's name may hold colour codes and marks that turn the direction of writing: whatever Unicode calls
    "other" or a separator of lines.
    """
    safe = []
    for character in text:
        category = unicodedata.category(character)
        is_harmless = character == "\n" or not (category[0] == "C" or category in {"Zl", "Zp"})
        safe.append(character if is_harmless else character.encode("unicode_escape").decode())
    return "".join(safe)


def one_line(text: str) -> str:
    """Return the text as `terminal_safe` does, its line breaks as escapes too."""
    return terminal_safe(text).replace("\n", "\\n")
