from __future__ import annotations

import json
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from deepfakestream.monitoring.audit import BEGIN, append_audit, read_audit, require_contains


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "audit.jsonl"
    append_audit(path, "ingest", {"source": "videos", "added": 12})
    append_audit(path, "promote", {"version": 3}, by="ci@machine")
    append_audit(path, "rollback", {"version": 2, "reason": "night shots"})
    return path


def test_entries_are_chained(record):
    entries = read_audit(record)
    assert [(one.sequence, one.action) for one in entries] == [(1, "ingest"), (2, "promote"), (3, "rollback")]
    assert [one.before for one in entries] == [BEGIN, entries[0].sha256, entries[1].sha256]
    assert entries[1].by == "ci@machine"
    assert entries[2].details == {"version": 2, "reason": "night shots"}
    assert "version 2, reason night shots" in entries[2].describe()


def test_an_entry_shows_no_notation_of_python(record):
    append_audit(record, "promote", {"promoted": True, "broken": [], "before": None, "rules": ["a", "b"]})
    shown = read_audit(record)[-1].describe()
    assert "promoted yes, broken none, before none, rules a; b" in shown


def test_a_workspace_without_actions_has_an_empty_record(tmp_path):
    assert read_audit(tmp_path / "audit.jsonl") == []


def changed(lines: list[str]) -> list[str]:
    entry = json.loads(lines[1])
    entry["details"]["version"] = 4
    return [lines[0], json.dumps(entry), lines[2]]


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (changed, "line 2"),
        (lambda lines: [lines[0], lines[2]], "line 2"),
        (lambda lines: lines[1:], "line 1"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2"),
        (lambda lines: [lines[0], lines[1][:40], lines[2]], "line 2"),
        (lambda lines: [lines[0], "", lines[1], lines[2]], "line 2"),
    ],
)
def test_what_was_changed_removed_or_put_in_is_found(record, tamper, line):
    record.write_text("\n".join(tamper(record.read_text().splitlines())) + "\n")
    with pytest.raises(DataError, match=line):
        read_audit(record)


def test_lines_cut_off_at_the_end_are_found_by_a_digest_that_was_kept(record):
    kept = read_audit(record)[-1].sha256
    require_contains(record, read_audit(record), kept)
    record.write_text("\n".join(record.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DataError, match="cut off"):
        require_contains(record, read_audit(record), kept)


def test_nothing_is_chained_to_a_damaged_line(record):
    record.write_bytes(record.read_bytes()[:-20])
    with pytest.raises(DataError, match="line 3"):
        append_audit(record, "forget", {})


def test_a_line_for_which_there_is_no_room_leaves_the_record_as_it_was(record: Path) -> None:
    before = record.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
    try:
        with pytest.raises(OSError, match=r"."):
            append_audit(record, "ingest", {"added": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert record.read_bytes() == before
    append_audit(record, "ingest", {"added": 1})
    assert read_audit(record)[-1].details == {"added": 1}


def write_some(path: Path) -> None:
    for number in range(5):
        append_audit(path, "key", {"number": number})


def test_entries_of_several_processes_form_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(write_some, [path] * 3))
    assert len(read_audit(path)) == 15
