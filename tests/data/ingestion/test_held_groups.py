"""Parts of a source that come one after the other: what belongs together lies in one split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import DataError
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest
from deepfakestream.pipeline.ingest import IngestReport, IngestRequest
from deepfakestream.settings import Settings

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml").ingest
REAL = "original_sequences/youtube/c23/videos"
FAKE = "manipulated_sequences/Deepfakes/c23/videos"
Taker = Callable[[Path], IngestReport]


@pytest.fixture
def take(tmp_path: Path) -> Taker:
    """Ingest into one workspace, always as the set 'ff'."""

    def ingest_as_ff(source: Path) -> IngestReport:
        settings = Settings(workspace=tmp_path / "ws")
        return ingest.run(source, params=PARAMS, settings=settings, request=IngestRequest(name="ff"))

    return ingest_as_ff


def groups_and_splits(workspace: Path) -> tuple[set[str], int]:
    manifest = read_manifest(workspace / "data")
    return set(manifest["group_id"]), int(manifest["split"].nunique())


def part(source: Path, to: Path, *names: str) -> Path:
    """Move files of a source to a source of their own."""
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / name, to / name)
    return to


def test_fakes_that_come_without_their_originals_join_these(
    plant: Callable[..., Path], take: Taker, tmp_path: Path
) -> None:
    fakes = [f"{FAKE}/000_003.mp4", f"{FAKE}/003_004.mp4", f"{FAKE}/004_007.mp4"]
    source = plant(reals=[f"{REAL}/000.mp4", f"{REAL}/003.mp4"], fakes=fakes)
    later, last = (part(source, tmp_path / name, fake) for name, fake in zip("ab", fakes[1:], strict=True))
    take(source)
    take(later)
    take(last)
    assert groups_and_splits(tmp_path / "ws") == ({"ff:youtube-000"}, 1)
    for again in (source, later, last):
        assert take(again).num_known > 0


def test_originals_that_come_after_their_fakes_join_these(
    plant: Callable[..., Path], take: Taker, tmp_path: Path
) -> None:
    source = plant(reals=[f"{REAL}/003.mp4"], fakes=[f"{FAKE}/000_003.mp4"])
    originals = part(source, tmp_path / "originals", f"{REAL}/003.mp4")
    take(source)
    take(originals)
    assert groups_and_splits(tmp_path / "ws") == ({"ff:youtube-000"}, 1)


def test_a_fake_of_two_held_groups_stops_and_changes_nothing(
    plant: Callable[..., Path], take: Taker, tmp_path: Path
) -> None:
    fake = f"{FAKE}/003_005.mp4"
    source = plant(reals=[f"{REAL}/005.mp4"], fakes=[f"{FAKE}/000_003.mp4", fake])
    later = part(source, tmp_path / "later", fake)
    take(source)
    before = read_manifest(tmp_path / "ws" / "data")
    message = r"003_005.mp4: .* holds 'ff:youtube-000' and 'ff:youtube-005' apart, .* into a new workspace$"
    with pytest.raises(DataError, match=message):
        take(later)
    assert read_manifest(tmp_path / "ws" / "data").equals(before)


def test_a_listed_fake_joins_the_group_id_of_an_original_that_came_earlier(
    plant: Callable[..., Path], take: Taker, tmp_path: Path
) -> None:
    source = plant(
        reals=["real/y.mp4", "real/z.mp4"],
        fakes=["fake/x.mp4", "fake/w.mp4"],
        texts={"manifest.csv": "file,label,group_id\nreal/y.mp4,real,g7\nreal/z.mp4,real,g8\n"},
    )
    take(source)
    (source / "manifest.csv").write_text("file,label,original\nfake/x.mp4,fake,y.mp4\n")
    take(source)
    (source / "manifest.csv").write_text(
        "file,label,group_id,original\nfake/w.mp4,fake,,real/z.mp4\nreal/z.mp4,real,,\n"
    )
    take(source)
    manifest = read_manifest(tmp_path / "ws" / "data").set_index("original_name")
    assert manifest["group_id"].to_dict() == {
        "real/y.mp4": "ff:g7",
        "fake/x.mp4": "ff:g7",
        "real/z.mp4": "ff:g8",
        "fake/w.mp4": "ff:g8",
    }


def test_another_file_of_a_held_name_is_in_its_own_group(
    plant: Callable[..., Path], take: Taker, tmp_path: Path
) -> None:
    source = plant(
        reals=["1.mp4", "2.mp4"],
        fakes=["3.mp4"],
        texts={"manifest.csv": "file,label,group_id,original\n1.mp4,real,g1,\n"},
    )
    take(source)
    shutil.move(source / "2.mp4", source / "1.mp4")
    (source / "manifest.csv").write_text("file,label,group_id,original\n1.mp4,real,g2,\n3.mp4,fake,,1.mp4\n")
    assert set(take(source).added["group_id"]) == {"ff:g2"}
