"""A log file that grows to a limit, then moves aside; what was logged before a start stays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

LOG_BYTES = 10_000_000
"""A log that is larger becomes `NAME.log.1`, that one `NAME.log.2`, and so on."""
NUM_OLD = 3


class RotatedLog:
    """One log file that lines are appended to. A disk that is full loses lines, and stops nothing."""

    def __init__(self, path: Path) -> None:
        """Open the file, move a large one aside, and note the start.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size >= LOG_BYTES:
            self._move_aside()
        self._stream = path.open("ab", buffering=0)
        if self._stream.tell():
            self.write(f"--- started {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ---")

    def write(self, line: str) -> bool:
        """Append a line; return whether the file was moved aside for it."""
        try:
            is_full = self._stream.tell() >= LOG_BYTES
            if is_full:
                self._stream.close()
                self._move_aside()
                self._stream = self._path.open("ab", buffering=0)
            self._stream.write(line.encode("utf-8", errors="replace") + b"\n")
        except (OSError, ValueError):  # no space, or a file that could not be opened again
            return False
        return is_full

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _move_aside(self) -> None:
        for number in range(NUM_OLD, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
            if newer.exists():
                newer.replace(older)
