from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deepfakestream.data.quarantine import Origin, Quarantine, Refusal
from deepfakestream.errors import Reason

BROKEN = Refusal(source="set", original_name="a.mp4", reason=Reason.UNREADABLE, message="no", path="/a.mp4")
MONDAY, TUESDAY = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)


def test_an_empty_ledger_needs_no_file(tmp_path: Path) -> None:
    ledger = Quarantine(tmp_path / "work" / "quarantine.db")
    ledger.add([])
    assert ledger.list() == []
    assert ledger.release([("set", "a.mp4")]) == 0
    assert not (tmp_path / "work").exists()


def test_a_refusal_keeps_its_first_date(tmp_path: Path) -> None:
    ledger = Quarantine(tmp_path / "quarantine.db")
    ledger.add([BROKEN], seen_at=MONDAY)
    ledger.add([replace(BROKEN, message="still no", media_id="ab")], seen_at=TUESDAY)
    (entry,) = ledger.list()
    assert (entry.first_seen, entry.last_seen) == (MONDAY.isoformat(), TUESDAY.isoformat())
    assert entry.refusal.message == "still no"
    assert entry.refusal.media_id == "ab"


def test_a_later_ingestion_settles_what_earlier_ones_had_against_a_name(tmp_path: Path) -> None:
    """What extraction found stays, and so does what an ingestion has against the name for two reasons."""
    ledger = Quarantine(tmp_path / "quarantine.db")
    origin = Origin(root="/set", layout="manifest", set_name="set", licence="")
    ledger.add([replace(BROKEN, reason=Reason.NO_FACE)])
    ledger.add([replace(BROKEN, reason=Reason.LABEL_CONFLICT), BROKEN], origin=origin)
    assert len(ledger.list()) == 3
    ledger.add([replace(BROKEN, reason=Reason.DUPLICATE)], origin=origin)
    assert [e.refusal.reason for e in ledger.list()] == [Reason.DUPLICATE, Reason.NO_FACE]


def test_entries_are_listed_and_released_by_reason(tmp_path: Path) -> None:
    ledger = Quarantine(tmp_path / "quarantine.db")
    ledger.add([replace(BROKEN, reason=Reason.NO_FACE), BROKEN])
    assert [e.refusal.reason for e in ledger.list(reason=Reason.NO_FACE)] == [Reason.NO_FACE]
    assert ledger.release([("set", "a.mp4")], reason=Reason.NO_FACE) == 1
    assert [e.refusal.reason for e in ledger.list()] == [Reason.UNREADABLE]
    assert ledger.release([("set", "a.mp4"), ("set", "other")]) == 1
    assert ledger.list() == []


@pytest.mark.parametrize("is_there_still", [True, False])
def test_nothing_of_a_forgotten_name_stays_in_the_file_also_after_a_kill(
    is_there_still: bool, tmp_path: Path
) -> None:
    """A kill between deletion and overwriting leaves the file as SQLite's plain deletion does."""
    path = tmp_path / "quarantine.db"
    Quarantine(path).add([replace(BROKEN, original_name="a-name-of-somebody", media_id="ab"), BROKEN])
    if not is_there_still:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute("DELETE FROM quarantine WHERE media_id = 'ab'")
    assert any(b"a-name-of-somebody" in file.read_bytes() for file in tmp_path.iterdir())
    assert Quarantine(path).forget(["ab"]) == is_there_still
    assert not any(b"a-name-of-somebody" in file.read_bytes() for file in tmp_path.iterdir())
    assert [entry.refusal for entry in Quarantine(path).list()] == [BROKEN]
