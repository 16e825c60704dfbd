from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfakestream.data.ingestion.layouts import LAYOUTS, choose_layout
from deepfakestream.data.ingestion.layouts.labels import read_label
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError

Tree = dict[str, str | dict[str, object]]


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Tree], Path]:
    """Make files from a drawn tree: text as it is, dictionaries as JSON."""

    def make(tree: Tree) -> Path:
        source = tmp_path / "source"
        source.mkdir()
        for name, content in tree.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return source

    return make


def listed(source: Path, layout: str | None = None) -> list[SourceItem]:
    return list(choose_layout(source, layout).items(source))


@pytest.mark.parametrize(
    ("word", "label"),
    [
        (None, None),
        ("", None),
        ("1", None),
        ("maybe", None),
        (" REAL ", "real"),
        ("Original", "real"),
        ("FAKE", "fake"),
        ("deepfakes", "fake"),
    ],
)
def test_label_words(word: str | None, label: str | None) -> None:
    assert read_label(word) == label


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: "):
        choose_layout(tmp_path / "nowhere")


def test_a_source_with_too_long_a_name_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x: "):
        choose_layout(tmp_path / ("x" * 300))


def test_an_unknown_layout_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--layout celeb: .*celeb_df, .*folders"):
        choose_layout(tmp_path, "celeb")


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_a_layout_forced_on_an_empty_folder_says_what_it_needs(layout: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=";"):
        listed(tmp_path, layout)


def test_an_empty_folder_has_no_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout; arrange it as one of these"):
        choose_layout(tmp_path)


def test_folders(plant: Callable[[Tree], Path]) -> None:
    source = plant({"real/a.jpg": "x", "Fake/swap/b.mp4": "x", "other/c.mp4": "x", "d.mp4": "x"})
    assert choose_layout(source).name == "folders"
    found = {item.name: (item.label, item.manipulation) for item in listed(source)}
    assert found == {
        "real/a.jpg": ("real", None),
        "Fake/swap/b.mp4": ("fake", "swap"),
        "other/c.mp4": (None, None),
        "d.mp4": (None, None),
    }


def test_manifest_with_every_column(plant: Callable[[Tree], Path]) -> None:
    table = (
        "file,label,group_id,identity,manipulation,split,source,licence,kind\n"
        "a.jpg,fake,g1,ann,swap,val,mine,CC0,crop\nb.jpg,,,,,,,,\n"
    )
    source = plant({"manifest.csv": table})
    assert choose_layout(source).name == "manifest"
    first, second = listed(source)
    assert first == SourceItem(
        name="a.jpg",
        path=source / "a.jpg",
        label="fake",
        is_crop=True,
        manipulation="swap",
        group="g1",
        identity="ann",
        split="val",
        source="mine",
        licence="CC0",
    )
    assert second == SourceItem(name="b.jpg", path=source / "b.jpg")


def test_manifest_groups_a_fake_with_its_original(plant: Callable[[Tree], Path]) -> None:
    source = plant({"manifest.csv": "file,label,original\nreal/y.mp4,real,\nfake/x.mp4,fake,y.mp4\n"})
    assert [item.group for item in listed(source)] == ["y", "y"]


@pytest.mark.parametrize("numbers", [[7, None], [7.0, None], [7, 8]])
def test_a_number_in_a_parquet_manifest_reads_the_same_with_gaps_and_without(
    numbers: list[float | None], tmp_path: Path
) -> None:
    table = pa.table({"file": ["a.jpg", "b.jpg"], "label": ["real", "fake"], "group_id": numbers})
    pq.write_table(table, tmp_path / "manifest.parquet")
    assert [item.group for item in listed(tmp_path)] == ["7", "8" if numbers[1] else None]


def test_manifest_as_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    pd.DataFrame({"file": ["a.jpg"], "label": ["real"], "identity": [None]}).to_parquet(path)
    assert listed(path) == [SourceItem(name="a.jpg", path=tmp_path / "a.jpg", label="real")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a readable table"),
        ("file\na.jpg\n", "lacks the column label"),
        ("name,kind\na.jpg,x\n", "lacks the columns file, label"),
        ("file,label\n", "has no rows"),
        ("file,label\na.jpg,real,\nb.jpg,fake,\n", "more cells than the header has names"),
    ],
)
def test_a_bad_manifest_is_explained(content: str, message: str, plant: Callable[[Tree], Path]) -> None:
    with pytest.raises(DataError, match=message):
        listed(plant({"manifest.csv": content}), "manifest")


def test_crop_shards_keep_split_and_group(plant: Callable[[Tree], Path]) -> None:
    table = (
        "file,shard,label,split,video,source_video,group_id\n"
        "real/a.jpg,t-0.tar,real,train,a,,7\nfake/b.jpg,t-1.tar,fake,val,b,c,\n"
    )
    source = plant({"manifest.csv": table, "t-0.tar": "", "t-1.tar": ""})
    assert choose_layout(source).name == "crop_shards"
    first, second = listed(source)
    assert (first.path, first.member, first.is_crop) == (source / "t-0.tar", "real/a.jpg", True)
    assert [(item.split, item.group) for item in (first, second)] == [("train", "7"), ("val", "c")]
    assert listed(source / "t-1.tar") == [second]


CROP_TABLE = "file,shard,label,video,source_video,group_id\n"


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        (["1,real,a,,7", "2,real,a,,", "3,fake,b,a,"], ["7", "7", "7"]),
        (["1,fake,b,a,", "2,fake,b,,", "3,real,a,,"], ["a", "a", "a"]),
        (["1,fake,b,a,7", "2,fake,b,,", "3,real,a,,"], ["7", "7", "7"]),
        (["1,real,a,,7", "2,real,a,,8"], ["7", "8"]),
        (["1,real,a,,", "2,real,b,,", "3,real,,,"], ["a", "b", None]),
    ],
)
def test_crops_of_one_video_are_one_group_whatever_each_row_tells(
    rows: list[str], groups: list[str | None], plant: Callable[[Tree], Path]
) -> None:
    table = CROP_TABLE + "".join(f"{row[0]}.jpg,t.tar,{row[2:]}\n" for row in rows)
    assert [item.group for item in listed(plant({"manifest.csv": table}))] == groups


def test_a_crop_whose_video_has_two_groups_has_to_say_which(plant: Callable[[Tree], Path]) -> None:
    table = CROP_TABLE + "1.jpg,t.tar,real,a,,7\n2.jpg,t.tar,real,a,,8\n3.jpg,t.tar,real,a,,\n"
    with pytest.raises(DataError, match="rows of video 'a' say '7' and '8', one says nothing; write its gro"):
        listed(plant({"manifest.csv": table}))


def test_a_crop_without_a_group_is_in_that_of_its_original(plant: Callable[[Tree], Path]) -> None:
    table = "file,shard,label,video,original\nreal/a.jpg,t.tar,real,7,\nfake/b.jpg,t.tar,fake,,real/a.jpg\n"
    assert [item.group for item in listed(plant({"manifest.csv": table}))] == ["7", "7"]


def test_dfdc_groups_by_original_and_draws_its_own_split(plant: Callable[[Tree], Path]) -> None:
    part = {
        "x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"},
        "y.mp4": {"label": "REAL", "split": "train"},
    }
    source = plant({"part_0/metadata.json": part, "part_1/metadata.json": {}})
    assert choose_layout(source).name == "dfdc"
    assert [(i.name, i.label, i.manipulation, i.group, i.split) for i in listed(source)] == [
        ("part_0/x.mp4", "FAKE", "dfdc", "y", None),
        ("part_0/y.mp4", "REAL", None, "y", None),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must map file names"),
        ('{"a": 1}', "must map"),
        ('{"a.mp4": {"label": 1}}', r"metadata.json: label of 'a.mp4' is 1, which is no text; fetch"),
        ('{"a.mp4": {"label": ["FAKE"]}}', "label of 'a.mp4' is"),
        ('{"a.mp4": {"label": "FAKE", "split": 3}}', "split of 'a.mp4' is 3"),
        ('{"a.mp4": {"label": "FAKE", "original": {}}}', "original of 'a.mp4' is"),
        ('{"/etc/a.mp4": {"label": "FAKE"}}', "metadata.json: '/etc/a.mp4'"),
        ('{"../a.mp4": {"label": "FAKE"}}', "metadata.json: '../a.mp4'"),
        ('{"": {"label": "FAKE"}}', "metadata.json: ''"),
        ('{"..": {"label": "FAKE"}}', "metadata.json: '..'"),
    ],
)
def test_bad_dfdc_metadata_is_explained(content: str, message: str, plant: Callable[[Tree], Path]) -> None:
    with pytest.raises(DataError, match=message):
        listed(plant({"metadata.json": content}))


def test_faceforensics_joins_what_swaps_connect(plant: Callable[[Tree], Path]) -> None:
    source = plant(
        {
            "original_sequences/youtube/c23/videos/000.mp4": "x",
            "original_sequences/youtube/c23/videos/003.mp4": "x",
            "original_sequences/youtube/c23/videos/005.mp4": "x",
            "original_sequences/actors/c23/videos/03__kitchen.mp4": "x",
            "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4": "x",
            "manipulated_sequences/Face2Face/c23/videos/003_000.mp4": "x",
            "manipulated_sequences/DeepFakeDetection/c23/videos/03_04__kitchen__AB.mp4": "x",
        }
    )
    assert choose_layout(source).name == "faceforensics"
    assert [(i.label, i.manipulation, i.group) for i in listed(source)] == [
        ("real", None, "actor-03"),
        ("real", None, "youtube-000"),
        ("real", None, "youtube-000"),
        ("real", None, "youtube-005"),
        ("fake", "DeepFakeDetection", "actor-03"),
        ("fake", "Deepfakes", "youtube-000"),
        ("fake", "Face2Face", "youtube-000"),
    ]
