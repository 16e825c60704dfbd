from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfakestream.data.ingestion.examination import (
    NUM_DECODED_FRAMES,
    ExaminedItem,
    Limits,
    examine,
    examine_all,
)
from deepfakestream.data.ingestion.intake import ingestion_time, manifest_rows, select, stored_path
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.data.manifest import read_manifest, to_frame, to_rows, write_manifest
from deepfakestream.data.packs import read_member
from deepfakestream.data.quarantine import Refusal
from deepfakestream.data.splits import SplitDraw
from deepfakestream.errors import DataError, MediaError, Reason
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, RGBImage

LIMITS = Limits(min_duration_s=0.2, budget=MediaBudget())
EMPTY = to_frame([])
DRAW = SplitDraw({"train": 0.7, "val": 0.15, "test": 0.15}, salt="v1")


def look(item: SourceItem, known: Collection[str] = ()) -> ExaminedItem | Refusal:
    return examine(item, set_name="set", known=known, limits=LIMITS)


def rows_of(items: list[SourceItem], present: pd.DataFrame = EMPTY) -> pd.DataFrame:
    outcomes = examine_all(items, set_name="set", known=set(), limits=LIMITS)
    new = select(outcomes, present).new
    return manifest_rows(new, licence="CC0", draw=DRAW, present=present)


@pytest.mark.parametrize(
    ("content", "label", "reason"),
    [
        (None, "real", Reason.NOT_FOUND),
        (b"", "real", Reason.EMPTY_FILE),
        (b"not a picture", "real", Reason.UNSUPPORTED_FORMAT),
        (b"anything", None, Reason.LABEL_MISSING),
        (b"anything", "1", Reason.LABEL_MISSING),
    ],
)
def test_refusals(content: bytes | None, label: str | None, reason: Reason, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    refusal = look(SourceItem(name="a.jpg", path=path, label=label))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason
    assert (refusal.source, refusal.original_name) == ("set", "a.jpg")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that nobody can read")
def test_a_file_that_cannot_be_read_is_refused_alone() -> None:
    refusal = look(SourceItem(name="mem", path=Path("/proc/self/mem"), label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNREADABLE
    assert "check permissions and disk" in refusal.message


def test_a_name_that_is_too_long_is_refused_alone(tmp_path: Path) -> None:
    refusal = look(SourceItem(name="a", path=tmp_path / ("x" * 300 + ".jpg"), label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNREADABLE
    assert refusal.message.endswith("xx.jpg: cannot be read (File name too long); shorten the name")


def test_a_folder_in_place_of_a_file_is_refused_alone(tmp_path: Path) -> None:
    refusal = look(SourceItem(name="a", path=tmp_path, label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNREADABLE
    assert "is a folder; check its permissions" in refusal.message


class SealedPath(type(Path())):  # type: ignore[misc]
    """A path below a folder that only others may enter; root, as whom tests may run, enters all."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(self))


def test_a_file_in_a_sealed_folder_is_refused_alone(tmp_path: Path) -> None:
    refusal = look(SourceItem(name="a", path=SealedPath(tmp_path / "a.jpg"), label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNREADABLE
    assert refusal.message.endswith("a.jpg: cannot be read (Permission denied); check permissions and disk")


def test_a_tar_member_with_too_long_a_name_is_refused_alone(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    member = f"real/{'x' * 300}.jpg"
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(write_picture(tmp_path / "a.jpg", shade=0), member)
    refusal = look(SourceItem(name=member, path=tmp_path / "s.tar", member=member, label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNREADABLE
    assert "s.tar: 'real/xxx" in refusal.message


def test_a_file_with_a_long_suffix_can_be_stored(tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    picture = write_picture(tmp_path / "a.jpg", shade=0).rename(tmp_path / f"a.{'x' * 240}")
    found = look(SourceItem(name="a", path=picture, label="real"))
    assert isinstance(found, ExaminedItem)
    assert stored_path(found) == f"media/{found.media_id[:2]}/{found.media_id}"


def test_a_clip_below_the_shortest_length_is_refused(
    tmp_path: Path, encode_clip: Callable[..., Path], astronaut: object
) -> None:
    clip = encode_clip(tmp_path / "short.mp4", [astronaut] * 3, fps=25)
    refusal = look(SourceItem(name="short.mp4", path=clip, label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.TOO_SHORT


def test_a_clip_is_no_face_crop(face_clip: Path) -> None:
    refusal = look(SourceItem(name="x", path=face_clip, label="real", is_crop=True))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "name", ["header.jpg", "rows.jpg", "scans.jpg", "a.png", "a.webp", "a.gif", "lost_bytes.mp4", "a.mkv"]
)
def test_what_a_scan_calls_damaged_does_not_enter_the_dataset(
    name: str, tmp_path: Path, astronaut: RGBImage, encode_clip: Callable[..., Path]
) -> None:
    path = tmp_path / name
    shifted = [np.roll(astronaut[::2, ::2], 9 * number, axis=1) for number in range(8)]
    if path.suffix in {".mp4", ".mkv"}:
        encode_clip(path, shifted, fps=2, keyframe_every=4)
    else:
        pages = [Image.fromarray(rgb) for rgb in shifted]
        moves = {"save_all": True, "append_images": pages[1:], "duration": 100} if name == "a.gif" else {}
        pages[0].save(path, progressive=name == "scans.jpg", **moves)  # type: ignore[arg-type]
    whole = path.read_bytes()
    assert isinstance(look(SourceItem(name=name, path=path, label="real")), ExaminedItem)
    if name == "lost_bytes.mp4":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(900) + whole[middle + 900 :])
    else:
        path.write_bytes(whole[: 650 if name == "header.jpg" else len(whole) * 5 // 8])
    try:
        (scanned,) = sample_frames(path, num_frames=NUM_DECODED_FRAMES, budget=LIMITS.budget).reasons
    except MediaError as error:
        scanned = error.reason
    assert scanned == (Reason.UNREADABLE if name == "a.webp" else Reason.TRUNCATED)
    refusal = look(SourceItem(name=name, path=path, label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == scanned
    assert refusal.media_id is not None


def test_pixels_that_a_scan_cannot_show_do_not_enter_the_dataset(tmp_path: Path) -> None:
    path = tmp_path / "depth.tif"
    Image.fromarray(np.linspace(0.0, 5.0, 4096, dtype=np.float32).reshape(64, 64)).save(path)
    refusal = look(SourceItem(name="depth.tif", path=path, label="real"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.UNSUPPORTED_FORMAT


def test_known_content_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"not a picture")
    refused = look(SourceItem(name="a", path=path, label="real"))
    assert isinstance(refused, Refusal)
    assert refused.media_id is not None
    known = look(SourceItem(name="a", path=path, label="real"), known={refused.media_id})
    assert isinstance(known, ExaminedItem)
    assert known.info is None


def test_a_tar_member_is_an_item(tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    picture = write_picture(tmp_path / "a.jpg", shade=0)
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(picture, "real/a.jpg")
    item = SourceItem(
        name="real/a.jpg", path=tmp_path / "s.tar", member="real/a.jpg", label="real", is_crop=True
    )
    found = look(item)
    assert isinstance(found, ExaminedItem)
    assert stored_path(found).startswith("packs/")
    assert read_member(item.path, "real/a.jpg") == picture.read_bytes()
    absent = look(SourceItem(name="b", path=item.path, member="b", label="real"))
    assert isinstance(absent, Refusal)
    assert absent.reason == Reason.NOT_FOUND
    broken = look(SourceItem(name="b", path=picture, member="b", label="real"))
    assert isinstance(broken, Refusal)
    assert broken.reason == Reason.UNREADABLE


def test_rows_say_where_an_item_comes_from(
    tmp_path: Path, write_picture: Callable[..., Path], face_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    picture = write_picture(tmp_path / "a.JPG", shade=0)
    rows = to_rows(
        rows_of(
            [
                SourceItem(name="a.JPG", path=picture, label="REAL", identity="ann", split="Validation"),
                SourceItem(name="f.mp4", path=face_clip, label="fake", group="a", source="other"),
            ]
        )
    )
    real, fake = rows
    assert real["path"] == f"media/{real['media_id'][:2]}/{real['media_id']}.jpg"
    assert (real["kind"], real["label"], real["manipulation"], real["split"]) == (
        "image",
        "real",
        "none",
        "val",
    )
    assert (real["group_id"], real["identity"], real["licence"]) == ("set:a.JPG", "ann", "CC0")
    assert (real["duration_s"], real["width_px"], real["ingested_at"]) == (
        None,
        64,
        "1970-01-01T00:00:00+00:00",
    )
    assert (fake["kind"], fake["manipulation"], fake["group_id"]) == ("video", "other", "other:a")
    assert fake["duration_s"] == pytest.approx(2.0, abs=0.1)


def test_a_group_keeps_the_split_that_it_has(tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    items = [
        SourceItem(
            name=f"{i}.jpg", path=write_picture(tmp_path / f"{i}.jpg", shade=i), label="real", group="g"
        )
        for i in range(2)
    ]
    first = rows_of(items[:1])
    first["split"] = "test"
    assert rows_of(items[1:], present=first)["split"].tolist() == ["test"]


def test_an_unknown_split_is_named(tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    item = SourceItem(
        name="a.jpg", path=write_picture(tmp_path / "a.jpg", shade=0), label="real", split="dev"
    )
    with pytest.raises(DataError, match=r"^a\.jpg: .*'dev'"):
        rows_of([item])


def test_the_same_bytes_are_one_item_with_one_label(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    def item(name: str, shade: int, label: str) -> ExaminedItem | Refusal:
        return look(SourceItem(name=name, path=write_picture(tmp_path / name, shade=shade), label=label))

    outcomes = [item("a", 1, "real"), item("b", 1, "real"), item("c", 2, "real"), item("d", 2, "fake")]
    selection = select(outcomes, EMPTY)
    assert [found.item.name for found in selection.new] == ["a"]
    assert [(r.original_name, r.reason) for r in selection.refused] == [
        ("b", Reason.DUPLICATE),
        ("c", Reason.LABEL_CONFLICT),
        ("d", Reason.LABEL_CONFLICT),
    ]
    assert "set/c says real, but set/d has the same bytes and says fake" in selection.refused[1].message
    present = manifest_rows(selection.new, licence="", draw=DRAW, present=EMPTY)
    again = select([*outcomes[:2], item("e", 1, "fake")], present)
    assert (again.new, again.num_known) == ([], 1)
    assert [(r.original_name, r.reason) for r in again.refused] == [
        ("b", Reason.DUPLICATE),
        ("e", Reason.LABEL_CONFLICT),
    ]


def test_manifest_round_trip_is_ordered_and_strict(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    items = [
        SourceItem(name=f"{i}.jpg", path=write_picture(tmp_path / f"{i}.jpg", shade=i), label="real")
        for i in range(4)
    ]
    rows = rows_of(items)
    write_manifest(tmp_path, rows)
    first = (tmp_path / "manifest.parquet").read_bytes()
    write_manifest(tmp_path, rows.iloc[::-1])
    assert (tmp_path / "manifest.parquet").read_bytes() == first
    assert read_manifest(tmp_path)["media_id"].is_monotonic_increasing
    with pytest.raises(DataError, match="would have two rows"):
        write_manifest(tmp_path, pd.concat([rows, rows]))
    assert (tmp_path / "manifest.parquet").read_bytes() == first


@pytest.mark.parametrize(("content", "message"), [(None, "missing"), (b"PAR1 torn", "damaged")])
def test_a_bad_manifest_is_explained(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.parquet").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path)


def test_now_is_the_time_of_ingestion_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    time = datetime.fromisoformat(ingestion_time())
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)
