"""The ledger of promotions: one JSON line a decision, appended, never changed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEDGER_FILE = "promotions.jsonl"


def append_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry; it is on disk when this returns, and a line of another process is never mixed in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(entry, sort_keys=True) + "\n"
    with path.open("a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Return the decisions so far, the oldest first; a line that a crash cut short is left out."""
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return entries
