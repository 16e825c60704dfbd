from __future__ import annotations

import json
from pathlib import Path

import pytest

from deepfakestream.errors import DataError
from deepfakestream.monitoring.audit import append_audit, read_audit
from deepfakestream.monitoring.audit_anchors import Anchor, check_anchors, take_anchor


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "audit.jsonl"
    for version in (1, 2, 3):
        append_audit(path, "promote", {"version": version})
    return path


def anchor(path: Path) -> Anchor:
    taken = take_anchor(path)
    assert taken is not None
    return taken


def check(path: Path, **anchors: Anchor) -> tuple[int, tuple[str, ...]]:
    texts = {keeper: one.model_dump_json() for keeper, one in anchors.items()}
    found = check_anchors(path, read_audit(path), texts)
    return found.num_confirmed, found.of_others


def test_an_anchor_is_the_head_of_the_record(record, tmp_path):
    entries = read_audit(record)
    taken = anchor(record)
    assert (taken.sequence, taken.sha256, taken.record) == (3, entries[2].sha256, entries[0].sha256)
    assert take_anchor(tmp_path / "none.jsonl") is None


def test_anchors_fit_after_the_record_has_grown_and_moved(record, tmp_path):
    taken = anchor(record)
    append_audit(record, "forget", {})
    assert check(record, version_3=taken, version_4=anchor(record)) == (2, ())
    moved = record.rename(tmp_path / "moved.jsonl")
    assert check(moved, version_3=taken) == (1, ())


def cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))


def write_again(path: Path) -> None:
    path.unlink()
    for version in (1, 2, 4):
        append_audit(path, "promote", {"version": version})


def change_the_end(path: Path) -> None:
    cut(path)
    append_audit(path, "promote", {"version": 4})


@pytest.mark.parametrize("tamper", [cut, write_again, change_the_end, Path.unlink])
def test_a_whole_chain_that_is_another_one_is_found(record, tamper):
    taken = anchor(record)
    tamper(record)
    read_audit(record)  # the chain itself says nothing
    with pytest.raises(DataError, match=r"entry 3 .* version_3"):
        check(record, version_3=taken)


def test_the_same_record_is_known_at_another_place(record, tmp_path):
    taken = anchor(record)
    cut(record)
    with pytest.raises(DataError, match="entry 3"):
        check(record.rename(tmp_path / "moved.jsonl"), version_3=taken)


def test_records_of_other_workspaces_are_named(record, tmp_path):
    other = tmp_path / "other" / "audit.jsonl"
    append_audit(other, "promote", {"version": 9})
    theirs = anchor(other)
    assert check(record, version_9=theirs, version_3=anchor(record)) == (1, (theirs.place,))


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"sequence": "x"})])
def test_a_tag_that_is_no_anchor_is_named(record, text):
    with pytest.raises(DataError, match=r"^version 3: its tag audit_anchor"):
        check_anchors(record, read_audit(record), {"version 3": text})
