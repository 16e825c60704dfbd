"""Names of files as text: Linux allows names that are not valid UTF-8, tables and databases do not."""

from __future__ import annotations

import re
from pathlib import Path

_ESCAPED_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")


def utf8_name(text: str) -> str:
    r"""Return the text with what UTF-8 cannot express written as escapes, e.g. `\udce9t\udce9.jpg`.

    Args:
        text: name, path or message; Python reads a byte that is not UTF-8 as one surrogate.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def path_of(name: str) -> Path:
    """Return the path whose `utf8_name` this is: of two possible ones, the one that exists."""
    path = Path(name)
    unescaped = Path(_ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name))
    return unescaped if unescaped.exists() and not path.exists() else path
