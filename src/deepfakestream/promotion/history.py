"""Who was champion when, and why: read from the ledger, written to MLflow's notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deepfakestream.frozen import Frozen
from deepfakestream.host.text_table import markdown_table
from deepfakestream.promotion.ledger import ROLLBACK, Entry

HISTORY_HEADING = "## History"
UNKNOWN = "not recorded"


class Reign(Frozen):
    """A time during which one version was champion."""

    version: int
    """0 is the model inside the package."""
    since: str
    """ISO time in UTC."""
    until: str | None
    """None: it is champion still."""
    before: int | None
    """The champion before; None: the model inside the package."""
    action: str
    """`promote` or `rollback`."""
    by: str
    reasons: tuple[str, ...]


def reigns(entries: Sequence[Entry]) -> tuple[Reign, ...]:
    """Return every reign that the ledger knows of, the oldest first.

    Args:
        entries: of the ledger; what failed after it was written does not count.
    """
    found: list[Reign] = []
    for entry in _events(entries):
        if not _made_champion(entry) or (found and found[-1].version == entry["version"]):
            continue
        if found:
            found[-1] = found[-1].model_copy(update={"until": entry["decided_at"]})
        found.append(
            Reign(
                version=entry["version"],
                since=entry["decided_at"],
                until=None,
                before=entry["champion_before"],
                action=entry.get("action", "promote"),
                by=entry.get("by", UNKNOWN),
                reasons=tuple(entry["reasons"]),
            )
        )
    return tuple(found)


def reigns_as_markdown(found: Sequence[Reign]) -> str:
    """Return the reigns as a Markdown section, the newest first.

    Args:
        found: from `reigns`.
    """
    rows = [
        [f"version {one.version}", one.since, one.until or "now", one.action, one.by, "; ".join(one.reasons)]
        for one in reversed(found)
    ]
    table = markdown_table(["champion", "since", "until", "action", "by", "reasons"], rows)
    return "\n".join([HISTORY_HEADING, "", *table])


def version_as_markdown(entries: Sequence[Entry], version: int) -> str:
    """Return what happened to one version as a Markdown section, the oldest first.

    Args:
        entries: of the ledger.
        version: number of the version.
    """
    lines = []
    for event, reasons in _events_of(entries, version):
        lines += [f"- {event}", *(f"  - {reason}" for reason in reasons)]
    return "\n".join([HISTORY_HEADING, "", *lines])


def version_events(entries: Sequence[Entry], version: int) -> Iterator[str]:
    """Yield a sentence for each decision about a version and each rollback to or from it, the oldest first.

    Args:
        entries: of the ledger.
        version: number of the version.
    """
    for event, reasons in _events_of(entries, version):
        yield f"{event}: {'; '.join(reasons)}"


def _events_of(entries: Sequence[Entry], version: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what happened to a version, and the reasons, the oldest first."""
    for entry in _events(entries):
        by, before = entry.get("by", UNKNOWN), entry["champion_before"] or 0
        if entry.get("action") != ROLLBACK:
            if entry["version"] == version:
                outcome = f"{entry['outcome']}, compared with version {before}"
                yield f"{entry['decided_at']} gate: {outcome}, asked by {by}", entry["reasons"]
        elif _made_champion(entry) and version in (entry["version"], before):
            direction = f"to version {entry['version']} from version {before}"
            yield f"{entry['decided_at']} rollback {direction} by {by}", entry["reasons"]


def _events(entries: Sequence[Entry]) -> list[Entry]:
    """Return one entry an event: of rows with the same id, the last."""
    return list({entry["decision_id"]: entry for entry in entries}.values())


def _made_champion(entry: Entry) -> bool:
    if entry.get("action") == ROLLBACK:
        return not entry.get("failed", False)
    return bool(entry["promoted"])
