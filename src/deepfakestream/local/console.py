"""One readable log of several servers: a line each, the server's name in front, in colour on a terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TextIO

_COLOURS = (36, 35, 32, 33, 34)
_RESET = "\x1b[0m"


class Console:
    """Writes whole lines from several threads."""

    def __init__(self, names: Sequence[str], stream: TextIO) -> None:
        """Prepare a prefix for each name, coloured where the stream is a terminal and NO_COLOR is unset.

        Args:
            names: of the servers.
            stream: to write to.
        """
        self._stream = stream
        self._lock = threading.Lock()
        width = max(len(name) for name in names)
        coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        self._prefixes = {
            name: f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{name:<{width}} |{_RESET}"
            if coloured
            else f"{name:<{width}} |"
            for index, name in enumerate(names)
        }

    def server_line(self, name: str, line: str) -> None:
        """Write a server's line behind its name.

        Args:
            name: of the server.
            line: as the server wrote it.
        """
        self.line(f"{self._prefixes[name]} {line}")

    def line(self, text: str) -> None:
        """Write a line of our own."""
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()
