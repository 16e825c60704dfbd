"""Each layout on a small tree of the real one's shape, ingested with real clips and pictures."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deepfakestream import __version__
from deepfakestream.data.ingestion.layouts import LAYOUTS, choose_layout
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.data.manifest import read_manifest, to_rows
from deepfakestream.errors import DataError
from deepfakestream.media.find import find_media
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest
from deepfakestream.pipeline.ingest import IngestReport, IngestRequest
from deepfakestream.settings import Settings

ROOT = Path(__file__).parents[4]
PARAMS = load_params(ROOT / "params.yaml").ingest
ANY = ("train", "val", "test")
DEVELOPMENT = ("train", "val")
Row = tuple[str, str, str, str | None, tuple[str, ...]]
"""Label, method, group, identity, splits that it may have."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    layout: str
    reals: tuple[str, ...]
    fakes: tuple[str, ...]
    taken: dict[str, Row]
    refused: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


FF = "original_sequences/youtube"
FAKE = "manipulated_sequences"
FF_SPLITS = {
    "splits/train.json": '[["000", "003"]]',
    "splits/val.json": '[["005", "010"]]',
    "splits/test.json": '[["953", "974"]]',
}
FF_METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
CELEB_LIST = "1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n1 YouTube-real/00001.mp4\n"
DFDC_PART = {
    "aa.mp4": {"label": "FAKE", "split": "train", "original": "bb.mp4"},
    "bb.mp4": {"label": "REAL", "split": "train", "original": None},
    "gone.mp4": {"label": "REAL", "split": "train"},
}
DFDC_HELD_OUT = {
    "cc.mp4": {"label": "FAKE", "split": "test", "original": "bb.mp4"},
    "dd.mp4": {"label": "REAL", "split": "validation"},
}
PREVIEW_REAL = "original_videos/643049/643049_A_001.mp4"
PREVIEW_TEST = "original_videos/1260311/1260311_C_001.mp4"
PREVIEW_A = "method_A/643049/643049_A/1111_643049_A_001.mp4"
PREVIEW_B = "method_B/1260311/1260311_C/1255229_1260311_C_001.mp4"
PREVIEW = {
    PREVIEW_REAL: {"label": "real", "set": "train", "target_id": "643049", "augmentations": []},
    PREVIEW_A: {"label": "fake", "set": "train", "target_id": 643049, "swapped_id": 1111},
    PREVIEW_TEST: {"label": "real", "set": "test", "target_id": "1260311"},
    PREVIEW_B: {"label": "fake", "set": "test", "target_id": "1260311", "swapped_id": "1255229"},
    "method_B/1260311/a.mp4": {"label": "fake", "set": "train", "target_id": "1260311"},
    "method_B/7/b.mp4": {"label": "fake", "set": "train"},
    "method_B/7/gone.mp4": {"label": "fake", "set": "train", "target_id": "7"},
}

TREES = {
    "celeb_df with its list": Tree(
        layout="celeb_df",
        reals=(
            *("Celeb-real/id0_0000.mp4", "Celeb-real/id0_0001.mp4", "Celeb-real/id2_0000.mp4"),
            *("YouTube-real/00000.mp4", "YouTube-real/00001.mp4"),
        ),
        fakes=(
            *("Celeb-synthesis/id0_id1_0000.mp4", "Celeb-synthesis/id0_id2_0001.mp4"),
            *("Celeb-synthesis/id2_id0_0000.mp4", "Celeb-synthesis/trailer.mp4"),
        ),
        texts={"List_of_testing_videos.txt": CELEB_LIST + "\n0 Celeb-synthesis/id3_id0_0004.mp4\r\n"},
        taken={
            "Celeb-real/id0_0000.mp4": ("real", "none", "id0", "id0", ("test",)),
            "Celeb-synthesis/id0_id1_0000.mp4": ("fake", "celeb-df", "id0", "id0", ("test",)),
            "YouTube-real/00001.mp4": ("real", "none", "youtube-00001", None, ("test",)),
            "YouTube-real/00000.mp4": ("real", "none", "youtube-00000", None, DEVELOPMENT),
            "Celeb-real/id2_0000.mp4": ("real", "none", "id2", "id2", DEVELOPMENT),
            "Celeb-synthesis/id2_id0_0000.mp4": ("fake", "celeb-df", "id2", "id2", DEVELOPMENT),
        },
        refused={
            "Celeb-real/id0_0001.mp4": "held_out",
            "Celeb-synthesis/id0_id2_0001.mp4": "held_out",
            "Celeb-synthesis/id3_id0_0004.mp4": "not_found",
            "Celeb-synthesis/trailer.mp4": "group_missing",
        },
    ),
    "celeb_df without it, as frames": Tree(
        layout="celeb_df",
        reals=("Celeb-real/frames/id0_0000/000.png", "Celeb-real/frames/id0_0000/001.png"),
        fakes=("Celeb-synthesis/frames/id0_id1_0000/000.png",),
        taken={
            "Celeb-real/frames/id0_0000/000.png": ("real", "none", "id0", "id0", ANY),
            "Celeb-real/frames/id0_0000/001.png": ("real", "none", "id0", "id0", ANY),
            "Celeb-synthesis/frames/id0_id1_0000/000.png": ("fake", "celeb-df", "id0", "id0", ANY),
        },
    ),
    "dfd": Tree(
        layout="dfd",
        reals=(
            "original_sequences/actors/c23/videos/01__walking_outside.mp4",
            "original_sequences/actors/c23/videos/02__kitchen_pan.mp4",
        ),
        fakes=(
            f"{FAKE}/DeepFakeDetection/c23/videos/01_02__walking_outside__YVGY8LOK.mp4",
            f"{FAKE}/DeepFakeDetection/c23/videos/02_01__kitchen_pan__F0YYEA5W.mp4",
            f"{FAKE}/DeepFakeDetection/c23/videos/preview.mp4",
        ),
        taken={
            "original_sequences/actors/c23/videos/01__walking_outside.mp4": (
                *("real", "none", "actor-01", "actor-01"),
                ANY,
            ),
            "original_sequences/actors/c23/videos/02__kitchen_pan.mp4": (
                *("real", "none", "actor-02", "actor-02"),
                ANY,
            ),
            f"{FAKE}/DeepFakeDetection/c23/videos/01_02__walking_outside__YVGY8LOK.mp4": (
                *("fake", "DeepFakeDetection", "actor-01", "actor-01"),
                ANY,
            ),
            f"{FAKE}/DeepFakeDetection/c23/videos/02_01__kitchen_pan__F0YYEA5W.mp4": (
                *("fake", "DeepFakeDetection", "actor-02", "actor-02"),
                ANY,
            ),
        },
        refused={f"{FAKE}/DeepFakeDetection/c23/videos/preview.mp4": "group_missing"},
    ),
    "dfdc": Tree(
        layout="dfdc",
        reals=("dfdc_train_part_0/bb.mp4", "part_1/dfdc_train_part_1/dd.mp4", "dfdc_train_part_0/extra.mp4"),
        fakes=("dfdc_train_part_0/aa.mp4", "part_1/dfdc_train_part_1/cc.mp4"),
        texts={
            "dfdc_train_part_0/metadata.json": json.dumps(DFDC_PART),
            "part_1/dfdc_train_part_1/metadata.json": json.dumps(DFDC_HELD_OUT),
        },
        taken={
            "dfdc_train_part_0/aa.mp4": ("fake", "dfdc", "bb", None, ANY),
            "dfdc_train_part_0/bb.mp4": ("real", "none", "bb", None, ANY),
            "part_1/dfdc_train_part_1/cc.mp4": ("fake", "dfdc", "bb", None, ("test",)),
            "part_1/dfdc_train_part_1/dd.mp4": ("real", "none", "dd", None, ("val",)),
        },
        refused={"dfdc_train_part_0/gone.mp4": "not_found", "dfdc_train_part_0/extra.mp4": "label_missing"},
    ),
    "dfdc_preview": Tree(
        layout="dfdc_preview",
        reals=(PREVIEW_REAL, PREVIEW_TEST, "original_videos/9/extra.mp4"),
        fakes=(PREVIEW_A, PREVIEW_B, "method_B/1260311/a.mp4", "method_B/7/b.mp4"),
        texts={"dataset.json": json.dumps(PREVIEW)},
        taken={
            PREVIEW_REAL: ("real", "none", "643049", "643049", DEVELOPMENT),
            PREVIEW_A: ("fake", "dfdc-method_A", "643049", "643049", DEVELOPMENT),
            PREVIEW_TEST: ("real", "none", "1260311", "1260311", ("test",)),
            PREVIEW_B: ("fake", "dfdc-method_B", "1260311", "1260311", ("test",)),
        },
        refused={
            "method_B/1260311/a.mp4": "held_out",
            "method_B/7/b.mp4": "group_missing",
            "method_B/7/gone.mp4": "not_found",
            "original_videos/9/extra.mp4": "label_missing",
        },
    ),
    "faceforensics with its splits": Tree(
        layout="faceforensics",
        reals=(
            *(f"{FF}/{level}/videos/000.mp4" for level in ("raw", "c23", "c40")),
            *(f"{FF}/c23/videos/{number}.mp4" for number in ("003", "005", "974", "999")),
            "original_sequences/actors/c23/videos/03__kitchen.mp4",
        ),
        fakes=(
            *(f"{FAKE}/{method}/c23/videos/000_003.mp4" for method in FF_METHODS),
            f"{FAKE}/Deepfakes/c40/videos/003_000.mp4",
            f"{FAKE}/Deepfakes/masks/videos/000_003.mp4",
            f"{FAKE}/Face2Face/c23/images/953_974/0000.png",
            f"{FAKE}/DeepFakeDetection/c23/videos/03_04__kitchen__ABCDEFGH.mp4",
        ),
        texts=FF_SPLITS,
        taken={
            **{
                f"{FF}/{level}/videos/000.mp4": ("real", "none", "youtube-000", None, ("train",))
                for level in ("raw", "c23", "c40")
            },
            f"{FF}/c23/videos/003.mp4": ("real", "none", "youtube-000", None, ("train",)),
            f"{FF}/c23/videos/005.mp4": ("real", "none", "youtube-005", None, ("val",)),
            f"{FF}/c23/videos/974.mp4": ("real", "none", "youtube-953", None, ("test",)),
            f"{FF}/c23/videos/999.mp4": ("real", "none", "youtube-999", None, DEVELOPMENT),
            "original_sequences/actors/c23/videos/03__kitchen.mp4": (
                *("real", "none", "actor-03", "actor-03"),
                ANY,
            ),
            **{
                f"{FAKE}/{method}/c23/videos/000_003.mp4": ("fake", method, "youtube-000", None, ("train",))
                for method in FF_METHODS
            },
            f"{FAKE}/Deepfakes/c40/videos/003_000.mp4": (
                *("fake", "Deepfakes", "youtube-000", None),
                ("train",),
            ),
            f"{FAKE}/Face2Face/c23/images/953_974/0000.png": (
                *("fake", "Face2Face", "youtube-953", None),
                ("test",),
            ),
            f"{FAKE}/DeepFakeDetection/c23/videos/03_04__kitchen__ABCDEFGH.mp4": (
                *("fake", "DeepFakeDetection", "actor-03", "actor-03"),
                ANY,
            ),
        },
    ),
    "faceforensics without them": Tree(
        layout="faceforensics",
        reals=tuple(f"{FF}/c23/videos/{number}.mp4" for number in ("000", "003", "005")),
        fakes=(f"{FAKE}/NeuralTextures/c23/videos/003_000.mp4", f"{FAKE}/FaceSwap/c23/videos/005.mp4"),
        taken={
            f"{FF}/c23/videos/000.mp4": ("real", "none", "youtube-000", None, ANY),
            f"{FF}/c23/videos/003.mp4": ("real", "none", "youtube-000", None, ANY),
            f"{FF}/c23/videos/005.mp4": ("real", "none", "youtube-005", None, ANY),
            f"{FAKE}/NeuralTextures/c23/videos/003_000.mp4": (
                *("fake", "NeuralTextures", "youtube-000", None),
                ANY,
            ),
        },
        refused={f"{FAKE}/FaceSwap/c23/videos/005.mp4": "group_missing"},
    ),
    "folders": Tree(
        layout="folders",
        reals=("real/a.mp4", "real/clip7/0001.png", "real/clip7/0002.png", "stray.mp4"),
        fakes=("Fake/b.mp4", "Fake/swap/c.mp4", "Fake/swap/clip7/0001.jpg", "Fake/swap/tv/d.mp4"),
        taken={
            "real/a.mp4": ("real", "none", "real/a.mp4", None, ANY),
            "real/clip7/0001.png": ("real", "none", "clip7", None, ANY),
            "real/clip7/0002.png": ("real", "none", "clip7", None, ANY),
            "Fake/b.mp4": ("fake", "source", "Fake/b.mp4", None, ANY),
            "Fake/swap/c.mp4": ("fake", "swap", "Fake/swap/c.mp4", None, ANY),
            "Fake/swap/clip7/0001.jpg": ("fake", "swap", "clip7", None, ANY),
            "Fake/swap/tv/d.mp4": ("fake", "swap", "Fake/swap/tv/d.mp4", None, ANY),
        },
        refused={"stray.mp4": "label_missing"},
    ),
    "folders of pictures under splits": Tree(
        layout="folders",
        reals=("train/real/1.jpg", "valid/real/2.png", "test/real/3.jpg"),
        fakes=("train/fake/4.jpg", "test/fake/gan/5.png"),
        taken={
            "train/real/1.jpg": ("real", "none", "train/real/1.jpg", None, ("train",)),
            "valid/real/2.png": ("real", "none", "valid/real/2.png", None, ("val",)),
            "test/real/3.jpg": ("real", "none", "test/real/3.jpg", None, ("test",)),
            "train/fake/4.jpg": ("fake", "source", "train/fake/4.jpg", None, ("train",)),
            "test/fake/gan/5.png": ("fake", "gan", "test/fake/gan/5.png", None, ("test",)),
        },
    ),
    "manifest next to folders": Tree(
        layout="manifest",
        reals=("real/y.mp4", "real/unlisted.mp4"),
        fakes=("fake/x.mp4",),
        texts={
            "manifest.csv": "file,label,original,identity,split\n"
            "real/y.mp4,real,,ann,trainval\nfake/x.mp4,fake,y.mp4,ann,trainval\nreal/gone.mp4,real,,,\n"
        },
        taken={
            "real/y.mp4": ("real", "none", "y", "ann", DEVELOPMENT),
            "fake/x.mp4": ("fake", "source", "y", "ann", DEVELOPMENT),
        },
        refused={"real/gone.mp4": "not_found"},
    ),
}


def take(source: Path, workspace: Path, *, dry_run: bool = False, layout: str | None = None) -> IngestReport:
    return ingest.run(
        source,
        params=PARAMS,
        settings=Settings(workspace=workspace),
        request=IngestRequest(dry_run=dry_run, layout=layout, licence="CC0"),
    )


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
@pytest.mark.parametrize("with_junk", [False, True], ids=["clean", "with junk"])
def test_a_tree_is_detected_and_taken_as_it_says(
    tree: Tree, with_junk: bool, plant: Callable[..., Path], tmp_path: Path
) -> None:
    source = plant(reals=tree.reals, fakes=tree.fakes, texts=tree.texts)
    if with_junk:
        add_junk(source)
    report = take(source, tmp_path / "ws")
    assert report.layout == tree.layout
    rows = {row["original_name"]: row for row in to_rows(read_manifest(tmp_path / "ws" / "data"))}
    found = {
        name: (row["label"], row["manipulation"], row["group_id"].removeprefix("source:"), row["identity"])
        for name, row in rows.items()
    }
    assert found == {name: row[:4] for name, row in tree.taken.items()}
    assert {name: row["split"] for name, row in rows.items() if row["split"] not in tree.taken[name][4]} == {}
    assert {refusal.original_name: refusal.reason for refusal in report.refused} == tree.refused
    for name, row in rows.items():
        check_provenance(row, source / name)
    assert take(source, tmp_path / "ws").num_known == len(rows)


def check_provenance(row: dict[str, Any], path: Path) -> None:
    """Check what a row says of its file and of where it comes from."""
    content = path.read_bytes()
    assert (row["media_id"], row["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (row["source"], row["licence"], row["tool_version"]) == ("source", "CC0", __version__)
    assert datetime.now(UTC) - datetime.fromisoformat(row["ingested_at"]) < timedelta(minutes=5)
    if row["kind"] == "video":
        assert (row["codec"], row["duration_s"]) == ("h264", pytest.approx(0.24, abs=0.01))
    else:
        assert (row["kind"], row["duration_s"]) == ("image", None)


def add_junk(source: Path) -> None:
    """Add what file systems, archives and people leave next to media."""
    for folder in [source, *(path for path in source.rglob("*") if path.is_dir())]:
        (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64))
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / "notes.csv").write_text("frame,score\n1,2\n")
        (folder / "empty").mkdir()
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX" / "._a.mp4").write_bytes(b"\0\5\x16\7")


def test_suffixes_may_be_upper_case(plant: Callable[..., Path], tmp_path: Path) -> None:
    source = plant(reals=["Celeb-real/id0_0000.MP4"], fakes=["Celeb-synthesis/id0_id1_0000.Mp4"])
    report = take(source, tmp_path / "ws")
    assert report.refused == []
    assert sorted(Path(path).suffix for path in report.added["path"]) == [".mp4", ".mp4"]


def test_crop_shards(plant: Callable[..., Path], tmp_path: Path) -> None:
    source = plant(reals=["real/a.jpg"], fakes=["fake/b.png"])
    (source / "manifest.csv").write_text(
        "file,shard,label,split,source_video,group_id\nreal/a.jpg,t-0.tar,real,train,,7\n"
        "fake/b.png,t-0.tar,fake,train,a,7\nreal/c.jpg,t-1.tar,real,val,,9\n"
    )
    with tarfile.open(source / "t-0.tar", "w") as tar:
        tar.add(source / "real" / "a.jpg", "real/a.jpg")
        tar.add(source / "fake" / "b.png", "fake/b.png")
    (source / "t-1.tar").write_bytes(b"")
    report = take(source, tmp_path / "ws")
    assert report.layout == "crop_shards"
    assert report.added["kind"].tolist() == ["crop", "crop"]
    assert set(report.added["group_id"]) == {"source:7"}
    assert {refusal.original_name: refusal.reason for refusal in report.refused} == {
        "real/c.jpg": "unreadable"
    }


@pytest.mark.parametrize(
    ("names", "texts", "message"),
    [
        (["real/a.mp4"], {"metadata.json": "{}"}, "looks like dfdc and folders; say which with --layout"),
        (["Celeb-real/id0_0000.mp4", "real/a.mp4"], {}, "looks like celeb_df and folders"),
        (["a.mp4"], {"manifest.csv": "", "manifest.parquet": ""}, "holds manifest.csv and manifest.parquet"),
        (["videos/a.mp4"], {}, "no known layout"),
    ],
)
def test_an_unclear_tree_stops(
    names: list[str], texts: dict[str, str], message: str, plant: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match=message):
        choose_layout(plant(reals=names, texts=texts))


def test_a_layout_can_be_said(plant: Callable[..., Path], tmp_path: Path) -> None:
    source = plant(reals=["real/a.mp4"], fakes=["fake/b.mp4"], texts={"metadata.json": "{}"})
    assert len(take(source, tmp_path / "ws", layout="folders").added) == 2


@pytest.mark.parametrize(
    ("tree", "texts", "message"),
    [
        (
            "celeb_df",
            {"List_of_testing_videos.txt": "1 Celeb-synthesis/id0_id1_0000.mp4"},
            "line 1 says real",
        ),
        (
            "celeb_df",
            {"List_of_testing_videos.txt": "\nCeleb-real/id0_0000.mp4"},
            "line 2 is not '1|0 FOLDER",
        ),
        ("celeb_df", {"List_of_testing_videos.txt": "1 Other/id0_0000.mp4"}, "line 1 is not"),
        ("faceforensics", {"train.json": "[]"}, r"val.json: missing, but the other splits are there"),
        ("faceforensics", {**FF_SPLITS, "splits/val.json": "{}x"}, "val.json: must be a list of pairs"),
        ("faceforensics", {**FF_SPLITS, "splits/val.json": '[["000"]]'}, "val.json: must be a list of pairs"),
        ("faceforensics", {**FF_SPLITS, "splits/val.json": '[["000", "1"]]'}, "video 000 is in train too"),
        ("dfdc_preview", {"dataset.json": "{"}, "dataset.json: not readable JSON"),
        ("dfdc_preview", {"dataset.json": '["a"]'}, "must map videos"),
        ("dfdc_preview", {"dataset.json": '{"a.mp4": {"label": "real"}}'}, "set of 'a.mp4' is None"),
        ("dfdc_preview", {"dataset.json": '{"../a.mp4": {"set": "train"}}'}, "'../a.mp4' is no path below"),
        (
            "dfdc_preview",
            {"dataset.json": '{"a.mp4": {"set": "train", "target_id": []}}'},
            "target_id of 'a.mp4' is no text",
        ),
    ],
)
def test_contradictions_are_explained(
    tree: str, texts: dict[str, str], message: str, plant: Callable[..., Path]
) -> None:
    name = {
        "celeb_df": "Celeb-real/id0_0000.mp4",
        "faceforensics": f"{FF}/c23/videos/000.mp4",
        "dfdc_preview": PREVIEW_REAL,
    }[tree]
    source = plant(reals=[name], texts=texts)
    with pytest.raises(DataError, match=message):
        list(choose_layout(source).items(source))


def test_videos_that_later_fakes_connect_stop_the_ingestion(
    plant: Callable[..., Path], tmp_path: Path, clip_bytes: dict[str, bytes]
) -> None:
    source = plant(reals=[f"{FF}/c23/videos/{number}.mp4" for number in ("000", "003")])
    take(source, tmp_path / "ws")
    before = digest_of(tmp_path / "ws" / "data")
    fake = source / FAKE / "Deepfakes/c23/videos/000_003.mp4"
    fake.parent.mkdir(parents=True)
    fake.write_bytes(clip_bytes["fake"])
    with pytest.raises(DataError, match="'source:youtube-000' and 'source:youtube-003'"):
        take(source, tmp_path / "ws")
    assert digest_of(tmp_path / "ws" / "data") == before


@pytest.mark.parametrize(
    ("layout", "tree", "readable"),
    [
        ("faceforensics", FAKE, f"{FF}/c23/videos/000.mp4"),
        ("celeb_df", "Celeb-synthesis", "Celeb-real/id0_0000.mp4"),
    ],
)
def test_a_tree_that_cannot_be_read_is_refused_and_the_rest_taken(
    layout: str,
    tree: str,
    readable: str,
    plant: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = plant(reals=[readable])
    (source / tree).mkdir()
    scandir = os.scandir

    def refuse_tree(path: str) -> Any:
        if str(path).endswith(tree):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_tree)  # root may read everything
    report = take(source, tmp_path / "ws", layout=layout)
    assert report.added["original_name"].tolist() == [readable]
    assert [(refusal.original_name, refusal.reason) for refusal in report.refused] == [(tree, "unreadable")]


def test_a_dry_run_counts_and_changes_nothing(plant: Callable[..., Path], tmp_path: Path) -> None:
    tree = TREES["celeb_df with its list"]
    source = plant(reals=tree.reals, fakes=tree.fakes, texts=tree.texts)
    (source / "Celeb-real" / "id4_0000.mp4").write_bytes(b"")
    other = tmp_path / "other"
    (other / "real").mkdir(parents=True)
    (other / "real" / "1.mp4").write_bytes((source / "YouTube-real" / "00000.mp4").read_bytes())
    take(other, tmp_path / "ws")
    before = digest_of(tmp_path)
    report = take(source, tmp_path / "ws", dry_run=True)
    text = report.describe()
    assert digest_of(tmp_path) == before
    assert "(celeb_df): would add 5 items as 'source' (3 real, 2 fake) in 3 source groups" in text
    assert (report.num_known, report.num_items) == (0, 6)
    table = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert table[0] == ["label", "manipulation", "train", "val", "test"]
    assert [(*row[:2], row[-1]) for row in table[1:]] == [("fake", "celeb-df", "1"), ("real", "none", "2")]
    for refusal in ("2: held_out", "1: not_found", "1: group_missing", "1: empty_file", "1: duplicate"):
        assert f"refused {refusal} (e.g. " in text


def test_a_dry_run_of_nothing_but_refusals_lists_them(plant: Callable[..., Path], tmp_path: Path) -> None:
    source = plant(texts={"manifest.csv": "file,label\na.mp4,real\nb.mp4,\n"})
    text = take(source, tmp_path / "ws", dry_run=True).describe()
    assert "would add 0 items" in text
    assert "refused 2: not_found" in text
    assert not (tmp_path / "ws").exists()


def digest_of(folder: Path) -> str:
    """Digest of the names, times and bytes of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)} {path.lstat().st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_the_layout_in_the_document_runs(plant: Callable[..., Path]) -> None:
    text = (ROOT / "docs" / "DATA.md").read_text(encoding="utf-8")
    example = text.split("```python\n", 1)[1].split("```", 1)[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    names = {"Path": Path, "Iterator": Iterator, "SourceItem": SourceItem, "find_media": find_media}
    exec(example, names)
    source = plant(reals=["real/0000.mp4"], fakes=["fake/0000_fake.mp4"])
    layout = choose_layout(source, layouts=[*LAYOUTS, names["UadfvLayout"]()])  # type: ignore[operator]
    assert layout.name == "uadfv"
    found = [(item.name, item.label, item.group) for item in layout.items(source)]
    assert found == [("real/0000.mp4", "real", "0000"), ("fake/0000_fake.mp4", "fake", "0000")]
