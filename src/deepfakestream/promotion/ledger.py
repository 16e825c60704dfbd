"""The ledger: one JSON line a decision of the gate or a rollback, appended, never changed.

A row whose `action` is `rollback` was made by a person; every other row is a decision of the gate. Two rows
with one `decision_id` are about one event, and the later row says how it ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepfakestream.host.locks import in_turn
from deepfakestream.host.whole_files import append_line

LEDGER_FILE = "promotions.jsonl"

ROLLBACK = "rollback"

Entry = dict[str, Any]


def append_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry; it is on disk when this returns, and a line of another process is never mixed in.

    Args:
        path: of the ledger.
        entry: of the ledger.

    Raises:
        OSError: the file cannot be written; it is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_turn(path.with_suffix(".lock")):
        append_line(path, json.dumps(entry, sort_keys=True))


def pairs_decided(entries: Sequence[Entry], test_set_sha256: str) -> set[tuple[int, int | None]]:
    """Return the pairs of version and champion that a test set has decided about.

    Args:
        entries: of the ledger.
        test_set_sha256: digest of the test set.
    """
    return {
        (entry["version"], entry["champion_before"])
        for entry in entries
        if entry.get("test_set_sha256") == test_set_sha256
    }


def gate_decisions(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that are decisions of the gate."""
    return [entry for entry in entries if entry.get("action") != ROLLBACK]


def last_promotion(entries: Sequence[Entry], version: int) -> Entry | None:
    """Return the newest entry by which the version was to be champion, or None.

    Args:
        entries: of the ledger.
        version: number of the registered version.
    """
    decisions = gate_decisions(entries)
    return next((one for one in reversed(decisions) if one["promoted"] and one["version"] == version), None)


def read_entries(path: Path) -> list[Entry]:
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
