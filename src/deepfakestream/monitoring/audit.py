"""The audit record: one JSON line for each action that matters, each with the digest of the line before it.

A line that is changed, removed or put in later breaks the chain at that place. Lines cut off at the end leave
a whole chain: compare the last digest with one that was kept elsewhere (`audit_anchors`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from deepfakestream.errors import DataError
from deepfakestream.frozen import Strict
from deepfakestream.host.locks import in_turn
from deepfakestream.host.text_table import in_words
from deepfakestream.host.user import user_at_machine
from deepfakestream.host.whole_files import append_line

Action = Literal["ingest", "validate", "promote", "rollback", "forget", "key", "delete"]
BEGIN = "0" * 64
"""Digest before the first line."""


class AuditEntry(Strict):
    """Who did what, when."""

    sequence: int
    at: str
    by: str
    action: Action
    details: dict[str, Any]
    before: str
    """Digest of the entry before."""
    sha256: str
    """Digest of all other fields."""

    def describe(self) -> str:
        """Return the entry in one line."""
        facts = ", ".join(f"{name} {in_words(value)}" for name, value in self.details.items())
        return f"{self.sequence:>5}  {self.at}  {self.by}  {self.action}: {facts}"


def append_audit(path: Path, action: Action, details: Mapping[str, Any], *, by: str | None = None) -> None:
    """Append an entry; it is on disk when this returns.

    Args:
        path: of the record.
        action: what was done.
        details: names and numbers; must be JSON. No secrets and no names of people in media.
        by: who did it; default: the user and machine of this process.

    Raises:
        DataError: the last line is damaged: nothing can be chained to it.
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with in_turn(path.with_suffix(".lock")):
        lines = path.read_bytes().splitlines() if path.exists() else []
        last = _parsed(path, len(lines), lines[-1]) if lines else None
        content = {
            "sequence": last.sequence + 1 if last else 1,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "by": by or user_at_machine(),
            "action": action,
            "details": json.loads(json.dumps(dict(details))),
            "before": last.sha256 if last else BEGIN,
        }
        append_line(path, json.dumps({**content, "sha256": _digest(content)}))


def read_audit(path: Path) -> list[AuditEntry]:
    """Return every entry, the oldest first, after a check of the chain; none where there is no file.

    Raises:
        DataError: the chain is broken; the message names the line.
    """
    entries: list[AuditEntry] = []
    if not path.exists():
        return entries
    before = BEGIN
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        entry = _parsed(path, number, line)
        if entry.sha256 != _digest(entry.model_dump(exclude={"sha256"})):
            raise DataError(
                f"{path}: line {number} was changed after it was written; compare it with a backup"
            )
        if entry.before != before or entry.sequence != number:
            raise DataError(
                f"{path}: before line {number} a line was removed, put in or moved; compare it with a backup"
            )
        before = entry.sha256
        entries.append(entry)
    return entries


def read_ends(path: Path) -> tuple[AuditEntry, AuditEntry] | None:
    """Return the first and the last entry, without a check of the chain; None where there is no entry.

    Args:
        path: of the record.

    Raises:
        DataError: one of the two lines is damaged.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    if not lines:
        return None
    return _parsed(path, 1, lines[0]), _parsed(path, len(lines), lines[-1])


def require_contains(path: Path, entries: list[AuditEntry], digest: str) -> None:
    """Return if an entry has this digest.

    Raises:
        DataError: none has: lines were cut off, or the whole record was written again.
    """
    if not any(entry.sha256 == digest for entry in entries):
        raise DataError(
            f"{path}: no entry has the digest {digest}; lines were cut off, or it was written again"
        )


def _parsed(path: Path, number: int, line: bytes) -> AuditEntry:
    try:
        return AuditEntry.model_validate_json(line)
    except ValidationError as error:
        raise DataError(
            f"{path}: line {number} is no entry; it was changed or cut short; compare it with a backup"
        ) from error


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(content), sort_keys=True).encode()).hexdigest()
