"""What the ledger keeps after a crash, and how MLflow's pages show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepfakestream.promotion.history import reigns, reigns_as_markdown, version_as_markdown, version_events
from deepfakestream.promotion.ledger import ROLLBACK, append_entry, read_entries


def entry(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "decision_id": f"d{number}",
        "decided_at": f"2026-11-0{number}T10:00:00+00:00",
        "version": number,
        "champion_before": number - 1 or None,
        "outcome": "PROMOTE",
        "promoted": True,
        "by": "ann@lab",
        "reasons": ["AUC 0.9 is at least 0.8", "the margin | is met"],
    } | changes


def test_a_line_that_a_crash_cut_short_takes_no_later_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "promotions.jsonl"
    append_entry(path, entry(1))
    path.write_text(path.read_text() + '{"decision_id": "d2", "vers')
    append_entry(path, entry(3))
    append_entry(path, entry(4))
    assert [one["decision_id"] for one in read_entries(path)] == ["d1", "d3", "d4"]


def test_each_reason_of_a_decision_has_a_line_of_its_own() -> None:
    back = entry(3, version=1, champion_before=2, action=ROLLBACK, reasons=["false alarms"])
    ledger = [entry(1), entry(2), back]
    assert version_as_markdown(ledger, 1).splitlines()[2:] == [
        "- 2026-11-01T10:00:00+00:00 gate: PROMOTE, compared with version 0, asked by ann@lab",
        "  - AUC 0.9 is at least 0.8",
        "  - the margin | is met",
        "- 2026-11-03T10:00:00+00:00 rollback to version 1 from version 2 by ann@lab",
        "  - false alarms",
    ]
    assert list(version_events(ledger, 2))[-1].endswith(
        "rollback to version 1 from version 2 by ann@lab: false alarms"
    )


def test_the_table_of_champions_names_what_was_done_and_by_whom() -> None:
    table = reigns_as_markdown(reigns([entry(1), entry(2)])).splitlines()[2:]
    assert table[0] == "| champion | since | until | action | by | reasons |"
    assert table[2].startswith("| version 2 | 2026-11-02T10:00:00+00:00 | now | promote | ann@lab | AUC")
    assert "the margin \\| is met" in table[2]
