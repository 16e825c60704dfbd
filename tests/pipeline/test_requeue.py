from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.extraction.face_store import FaceStore, StoredFaces
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.quarantine import Quarantine, Refusal
from deepfakestream.errors import DataError, Reason
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest, requeue
from deepfakestream.pipeline.requeue import RequeueOutcome, RequeueReport
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml").ingest


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three good pictures, two broken files, and one content with both labels."""
    folder = tmp_path / "faces"
    for number in range(3):
        write(folder / "real" / f"{number}.png", number)
    write(folder / "fake" / "swap.png", 7)
    write(folder / "real" / "swap.png", 7)
    (folder / "real" / "a.png").write_bytes(b"")
    (folder / "real" / "b.png").write_bytes(b"")
    return folder


@pytest.fixture
def settings(source: Path, tmp_path: Path) -> Settings:
    settings = Settings(workspace=tmp_path / "ws")
    request = ingest.IngestRequest(licence="CC0")
    ingest.run(source, params=PARAMS, settings=settings, request=request)
    return settings


def run(settings: Settings, **what: str | Reason) -> RequeueReport:
    return requeue.run(params=PARAMS, settings=settings, **what)


def reasons(settings: Settings) -> dict[str, Reason]:
    entries = Quarantine(settings.quarantine_db).list()
    return {entry.refusal.original_name: entry.refusal.reason for entry in entries}


def names(settings: Settings) -> set[str]:
    return set(read_manifest(settings.data_dir)["original_name"])


def test_what_was_mended_is_taken_and_the_rest_is_refused_again(source: Path, settings: Settings) -> None:
    write(source / "real" / "a.png", 50)
    report = run(settings, reason=Reason.EMPTY_FILE)
    assert {o.entry.refusal.original_name: o.result for o in report.items} == {
        "real/a.png": RequeueOutcome.TAKEN,
        "real/b.png": RequeueOutcome.REFUSED,
    }
    assert report.describe().splitlines()[0] == "2 requeued: 1 taken, 1 refused again"
    assert "refused again: empty_file: " in report.describe()
    manifest = read_manifest(settings.data_dir).set_index("original_name")
    assert manifest.loc["real/a.png", "licence"] == "CC0"
    assert "real/a.png" not in reasons(settings)


def test_files_that_were_not_asked_for_are_left_alone(source: Path, settings: Settings) -> None:
    write(source / "real" / "a.png", 50)
    write(source / "real" / "b.png", 51)
    write(source / "real" / "new.png", 52)
    run(settings, name="real/b.png")
    assert names(settings) == {"real/0.png", "real/1.png", "real/2.png", "real/b.png"}


def test_an_entry_whose_reason_changed_has_the_new_one_only(source: Path, settings: Settings) -> None:
    (source / "real" / "a.png").write_bytes(b"now with something in it")
    report = run(settings, source="faces", name="real/a.png")
    assert report.items[0].result == RequeueOutcome.REFUSED
    assert reasons(settings)["real/a.png"] == Reason.UNSUPPORTED_FORMAT


def test_one_side_of_a_label_conflict_does_not_slip_in(source: Path, settings: Settings) -> None:
    report = run(settings, name="fake/swap.png")
    assert [item.result for item in report.items] == [RequeueOutcome.REFUSED] * 2
    assert not names(settings) & {"fake/swap.png", "real/swap.png"}


def test_a_label_conflict_that_was_settled_is_taken_once(source: Path, settings: Settings) -> None:
    (source / "real" / "swap.png").unlink()
    report = run(settings, reason=Reason.LABEL_CONFLICT)
    assert {o.entry.refusal.original_name: o.result for o in report.items} == {
        "fake/swap.png": RequeueOutcome.TAKEN,
        "real/swap.png": RequeueOutcome.NOT_TRIED,
    }
    assert "real/swap.png: " in report.describe()
    assert "no longer names it" in report.describe()


def test_an_item_without_a_face_is_opened_again_by_the_next_extraction(settings: Settings) -> None:
    item = read_manifest(settings.data_dir).iloc[0]
    store = FaceStore(settings.face_store_dir, "media-x")
    others = list(read_manifest(settings.data_dir)["media_id"])[1:]
    empty = [StoredFaces(media_id=m, num_frames=1, notes=()) for m in [item["media_id"], *others]]
    store.commit(empty)
    refusal = Refusal(
        source=item["source"],
        original_name=item["original_name"],
        reason=Reason.NO_FACE,
        message="no usable face in 1 frames",
        path=str(settings.data_dir / item["path"]),
        media_id=item["media_id"],
    )
    Quarantine(settings.quarantine_db).add([refusal])
    report = run(settings, reason=Reason.NO_FACE)
    assert [item.result for item in report.items] == [RequeueOutcome.WAITING]
    assert "1 requeued: 1 waiting for the next extraction" in report.describe()
    assert "dvc repro --force extract" in report.describe()
    assert sorted(store.index()) == others
    assert reasons(settings)[item["original_name"]] == Reason.NO_FACE


def test_sources_that_are_away_and_old_entries_are_told(source: Path, settings: Settings) -> None:
    old = Refusal(source="old", original_name="x", reason=Reason.EMPTY_FILE, message="", path="/x")
    Quarantine(settings.quarantine_db).add([old])
    source.rename(source.with_name("away"))
    text = run(settings, reason=Reason.EMPTY_FILE).describe()
    assert "3 requeued: 3 not tried" in text
    assert "old/x: an older version did not note where it came from; ingest its source again" in text
    assert "faces/real/a.png: " in text
    assert "is not there; fetch it" in text
    assert reasons(settings)["real/a.png"] == Reason.EMPTY_FILE


def test_nothing_to_requeue_is_told(settings: Settings) -> None:
    assert "no entry of the quarantine is like that" in run(settings, reason=Reason.TOO_LONG).describe()


def test_a_source_that_contradicts_its_layout_is_explained(source: Path, settings: Settings) -> None:
    ledger = Quarantine(settings.quarantine_db)
    entry = next(e for e in ledger.list() if e.refusal.original_name == "real/a.png")
    assert entry.origin is not None
    (source / "manifest.csv").write_text("nonsense\n")
    broken = type(entry.origin)(root=entry.origin.root, layout="manifest", set_name="faces", licence="")
    ledger.add([entry.refusal], origin=broken)
    with pytest.raises(DataError, match=r"manifest\.csv"):
        run(settings, name="real/a.png")
