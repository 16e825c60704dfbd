from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deepfakestream.data.manifest import to_frame, write_manifest
from deepfakestream.data.quarantine import Quarantine, Refusal
from deepfakestream.errors import Reason
from deepfakestream.pipeline import drop
from deepfakestream.settings import Settings

GONE = Refusal(
    source="set", original_name="a-name-of-somebody.mp4", reason=Reason.EMPTY_FILE, message="no", path="/a"
)
HELD = "ab" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A ledger of two refused files, an item of the set without a face, and a copy of that item."""
    settings = Settings(workspace=tmp_path)
    write_manifest(
        settings.data_dir, to_frame([{"media_id": HELD, "source": "set", "original_name": "b.mp4"}])
    )
    faceless = replace(GONE, original_name="b.mp4", reason=Reason.NO_FACE, media_id=HELD)
    copy = replace(GONE, original_name="copy.mp4", reason=Reason.DUPLICATE, media_id=HELD)
    Quarantine(settings.quarantine_db).add([GONE, replace(GONE, source="other"), faceless, copy])
    return settings


def left(settings: Settings) -> list[tuple[str, str]]:
    entries = Quarantine(settings.quarantine_db).list()
    return [(entry.refusal.source, entry.refusal.original_name) for entry in entries]


def test_what_was_asked_for_goes_and_nothing_of_it_stays_in_the_file(settings: Settings) -> None:
    meant = drop.plan(settings=settings, reason=Reason.EMPTY_FILE)
    assert "in quarantine: 2 (2 empty_file)" in meant.describe()
    assert drop.run(meant.entries, settings=settings).startswith("dropped 2; ")
    assert left(settings) == [("set", "b.mp4"), ("set", "copy.mp4")]
    assert not any(
        b"a-name-of-somebody" in path.read_bytes() for path in settings.work_dir.iterdir() if path.is_file()
    )


def test_reason_source_and_name_narrow_each_other(settings: Settings) -> None:
    meant = drop.plan(settings=settings, source="other", name=GONE.original_name)
    drop.run(meant.entries, settings=settings)
    assert left(settings) == [("set", GONE.original_name), ("set", "b.mp4"), ("set", "copy.mp4")]


def test_what_stages_say_of_items_of_the_set_stays_and_is_told(settings: Settings) -> None:
    meant = drop.plan(settings=settings, source="set")
    assert [entry.refusal.original_name for entry in meant.entries] == [GONE.original_name, "copy.mp4"]
    assert meant.num_of_stages == 1
    assert drop.plan(settings=settings, name="b.mp4").entries == []


def test_nothing_that_is_like_that_is_told(settings: Settings) -> None:
    meant = drop.plan(settings=settings, reason=Reason.TOO_LONG)
    assert meant.describe().startswith("no entry of the quarantine is like that")
