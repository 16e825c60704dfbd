"""Numbers, tables, pictures and the card of a set."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfakestream.data.card.card import write_card
from deepfakestream.data.card.limits import known_limits
from deepfakestream.data.card.plots import MAX_METHODS, draw_methods, draw_set
from deepfakestream.data.card.report import describe
from deepfakestream.data.card.statistics import Extracted, measure_set
from deepfakestream.data.digests import tables_digest
from deepfakestream.data.manifest import to_frame


def item(number: int, **other: Any) -> dict[str, Any]:
    is_fake = number % 2 == 1
    known = {
        "media_id": f"{number:064x}",
        "path": f"media/{number}",
        "kind": "video",
        "label": "fake" if is_fake else "real",
        "manipulation": "swap" if is_fake else "none",
        "group_id": f"g{number // 2}",
        "identity": f"p{number // 4}",
        "split": ("train", "train", "val", "test")[number // 2 % 4],
        "source": "set",
        "licence": "CC0",
        "original_name": f"{number}.mp4",
        "size_bytes": 1000 * (number + 1),
        "width_px": 640,
        "height_px": 360,
        "codec": "h264" if number % 3 else "hevc",
        "duration_s": 2.0 + number,
        "fps": 25.0,
        "tool_version": "0",
    }
    return known | other


def manifest(num_items: int = 16, **other: Any) -> pd.DataFrame:
    return to_frame(item(number, **other) for number in range(num_items))


def crops_of(items: pd.DataFrame, per_item: int) -> pd.DataFrame:
    rows = items.loc[items.index.repeat(per_item), ["media_id", "label"]].reset_index(drop=True)
    numbers = np.arange(len(rows), dtype=float)
    ids = [f"{media_id}:{number}:0" for number, media_id in enumerate(rows["media_id"])]
    measured: dict[str, Any] = {
        "face_px": 40 + numbers,
        "sharpness": 1 + numbers,
        "luma": numbers % 256,
        "score": 0.9,
    }
    return rows.assign(crop_id=ids, crop_sha256=ids, **measured)


def extracted(crops: pd.DataFrame, empty: pd.DataFrame | None = None) -> Extracted:
    return Extracted(crops=crops, empty=frozenset(() if empty is None else empty["media_id"]))


def validation_report(items: pd.DataFrame, crops: pd.DataFrame) -> dict[str, Any]:
    rules = [
        {"table": "items", "rule": "labels", "severity": "critical", "passed": True, "observed": None}
        | {"num_failed": 0, "failed_ids": [], "remedy": ""},
        {"table": "crops", "rule": "luma", "severity": "warning", "passed": False, "observed": None}
        | {"num_failed": 3, "failed_ids": ["a"], "remedy": "look | at them"},
    ]
    facts = {"num_items": len(items), "num_crops": len(crops), "tables_sha256": tables_digest(items, crops)}
    return {"passed": True, "facts": facts, "rules": rules}


def test_counts_by_method_and_split_add_up_to_the_set() -> None:
    found = measure_set(manifest())
    assert found.totals == {"items": 16, "groups": 8, "people": 4, "bytes": 136_000}
    assert found.by_method.to_dict("records") == [
        {"source": "set", "label": label, "method": method, "train": 4, "val": 2, "test": 2}
        | {"items": 8, "groups": 8, "people": 4}
        for label, method in (("real", "none"), ("fake", "swap"))
    ]
    assert found.by_split[["split", "real", "fake", "items"]].to_numpy().tolist() == [
        ["train", 4, 4, 8],
        ["val", 2, 2, 4],
        ["test", 2, 2, 4],
    ]
    assert found.words["codec"] == {"h264": 10, "hevc": 6}


def test_quantiles_are_those_of_the_items_that_have_the_measure() -> None:
    items = manifest()
    items.loc[items.index[10:], "duration_s"] = np.nan
    measures = measure_set(items).measures.set_index("measure")
    assert measures.loc["duration, s", ["n", "least", "median", "most"]].tolist() == [10, 2.0, 6.5, 11.0]
    assert measures.loc["size, kB", ["least", "most"]].tolist() == [1.0, 16.0]
    assert measures.loc["shorter side, px", "median"] == 360
    assert "JPEG quality" not in measures.index


def test_faces_are_counted_once_they_are_extracted() -> None:
    items = manifest()
    found = measure_set(items, extracted(crops_of(items.iloc[:12], 3), items.iloc[12:]))
    assert (found.totals["crops"], found.totals["items_without_face"]) == (36, 4)
    assert found.totals["items_not_extracted"] == 0
    assert found.faces_per_item is not None
    assert found.faces_per_item.to_numpy().tolist() == [
        [0, "fake", 2],
        [0, "real", 2],
        [3, "fake", 6],
        [3, "real", 6],
    ]
    assert describe(found).endswith("crops an item: median 3, most 3; 4 of 16 items without a face")


def test_items_that_extraction_has_not_seen_are_not_called_faceless() -> None:
    items = manifest()
    found = measure_set(items, extracted(crops_of(items.iloc[:6], 2), items.iloc[6:8]))
    assert found.totals["items_without_face"] == 2
    assert found.totals["items_not_extracted"] == 8
    assert found.faces_per_item is not None
    assert found.faces_per_item.to_numpy().tolist() == [
        [0, "fake", 1],
        [0, "real", 1],
        [2, "fake", 3],
        [2, "real", 3],
    ]
    assert describe(found).endswith(
        "crops an item: median 2, most 2; 2 of 8 extracted items without a face\n"
        "8 of 16 items not extracted yet: 'dvc repro extract' looks for faces"
    )


def test_crops_of_items_that_are_gone_do_not_count() -> None:
    items = manifest()
    found = measure_set(items.iloc[:4], extracted(crops_of(items, 2)))
    assert (found.totals["crops"], found.totals["items_without_face"]) == (8, 0)


def test_a_set_of_new_items_only_has_no_crops_yet() -> None:
    items = manifest()
    old = extracted(crops_of(items.iloc[:4], 2))
    found = measure_set(items.iloc[4:], old)
    assert (found.totals["crops"], found.totals["items_without_face"]) == (0, 0)
    assert describe(found).endswith("\n12 of 12 items not extracted yet: 'dvc repro extract' looks for faces")
    assert draw_set(items.iloc[4:], old).keys() == {"methods", "media", "faces", "light"}


@pytest.mark.slow
def test_the_picture_of_faces_leaves_out_what_extraction_has_not_seen() -> None:
    items = manifest()
    seen = extracted(crops_of(items.iloc[:8], 2), items.iloc[8:10])
    shown, of_seen = draw_set(items, seen), draw_set(items.iloc[:10], seen)
    assert (shown["faces"], shown["light"]) == (of_seen["faces"], of_seen["light"])
    assert shown["media"] != of_seen["media"]


def test_the_table_is_aligned_and_json_says_the_same() -> None:
    found = measure_set(manifest(identity=None))
    lines = describe(found).splitlines()
    assert lines[0] == "16 items in 8 groups, people not named, 136.0 kB"
    assert lines[2] == "source  label  method  train  val  test  items  groups  people"
    assert lines[3] == "set     real   none        4    2     2      8       8  -".replace(
        "8  -", "8       -"
    )
    content = json.loads(json.dumps(found.as_json()))
    assert content["by_method"][0]["items"] == 8
    assert content["totals"]["people"] == 0


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({}, "Source groups are few (train 4, val 2, test 2): figures measured there have wide intervals."),
        ({"identity": None}, "No person is named for 16 of 16 items"),
        ({"licence": "not stated"}, "16 items come without a licence note."),
        ({"codec": "h264"}, "All items have the codec h264."),
        ({"label": "real", "manipulation": "none"}, "Sources with one label only: set (real)"),
    ],
)
def test_limits_are_read_off_the_tables(change: dict[str, Any], limit: str) -> None:
    assert any(each.startswith(limit) for each in known_limits(manifest(**change)))


def test_methods_that_only_some_splits_have_are_a_limit() -> None:
    items = manifest()
    items.loc[(items["label"] == "fake") & (items["split"] == "test"), "manipulation"] = "puppet"
    limits = known_limits(items)
    assert "Methods that training never sees: puppet." in limits
    assert "Methods that no test measures: swap." in limits


def test_a_large_balanced_set_has_no_limit() -> None:
    assert known_limits(manifest(400)) == []


@pytest.mark.slow
def test_pictures_are_drawn_for_any_set_and_are_the_same_each_time() -> None:
    items = manifest()
    crops = crops_of(items, 2)
    pictures = draw_set(items, extracted(crops))
    assert list(pictures) == ["methods", "media", "faces", "light"]
    assert draw_set(items, extracted(crops)) == pictures
    for picture in pictures.values():
        image = Image.open(BytesIO(picture))
        assert image.width > 800
        assert np.asarray(image.convert("L")).std() > 5
    stills = manifest(2, duration_s=None, fps=None, size_bytes=5)
    assert draw_set(stills).keys() == {"methods", "media"}


@pytest.mark.slow
def test_the_picture_of_methods_grows_with_them_up_to_a_limit() -> None:
    heights = []
    for num_methods in (2, 30, MAX_METHODS + 40, MAX_METHODS + 80):
        items = manifest(400)
        fakes = items["label"] == "fake"
        items.loc[fakes, "manipulation"] = [f"method {n % num_methods}" for n in range(fakes.sum())]
        heights.append(Image.open(BytesIO(draw_methods(items))).height)
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_the_card_tells_sources_contents_limits_faces_and_the_gate(tmp_path: Path) -> None:
    items = manifest()
    crops = crops_of(items, 2)
    page = write_card(
        tmp_path / "card",
        manifest=items,
        extracted=extracted(crops),
        validation_report=validation_report(items, crops),
        data_digest="abc.dir",
    )
    text = page.read_text()
    for sentence in (
        "Version `abc.dir` of `data/`. 16 items in 8 groups, 4 people named",
        "| set | CC0 | 16 |",
        "| set | real | none | 4 | 2 | 2 | 8 | 8 | 4 |",
        "- Source groups are few",
        "Crops an item: median 2, most 2; 0 of 16 items without a face.",
        "Passed: 1 of 2 rules kept.",
        "| crops.luma | warning | 3 rows | look \\| at them |",
    ):
        assert sentence in text
    for name in ("methods", "media", "faces", "light"):
        assert f"]({name}.png)" in text
        assert (page.parent / f"{name}.png").exists()


def test_a_card_before_extraction_says_what_is_missing(tmp_path: Path) -> None:
    page = write_card(tmp_path, manifest=manifest(), extracted=None, validation_report=None, data_digest=None)
    text = page.read_text()
    assert text.startswith("# Data card\n\n16 items in 8 groups")
    assert "Not validated yet: `dvc repro validate`." in text
    assert "## Faces" not in text


def relabelled(items: pd.DataFrame) -> pd.DataFrame:
    return items.assign(label="fake", manipulation="swap")


def resharpened(crops: pd.DataFrame) -> pd.DataFrame:
    return crops.assign(crop_sha256="other")


@pytest.mark.parametrize(
    ("items", "crops"),
    [
        (manifest(18), crops_of(manifest(), 2)),
        (manifest(14), crops_of(manifest(), 2)),
        (relabelled(manifest()), crops_of(manifest(), 2)),
        (manifest(), resharpened(crops_of(manifest(), 2))),
    ],
    ids=["items-added", "items-forgotten", "labels-mended", "extracted-again"],
)
def test_a_report_of_other_data_is_called_one_of_an_earlier_version(
    tmp_path: Path, items: pd.DataFrame, crops: pd.DataFrame
) -> None:
    page = write_card(
        tmp_path,
        manifest=items,
        extracted=extracted(crops),
        validation_report=validation_report(manifest(), crops_of(manifest(), 2)),
        data_digest="new.dir",
    )
    text = page.read_text()
    assert "Not validated yet" in text
    assert "16 items, 32 crops, passed" in text
    assert "`dvc repro validate`" in text
    assert "rules kept" not in text
    assert "crops.luma" not in text


def test_a_report_that_does_not_say_what_it_is_about_is_not_shown(tmp_path: Path) -> None:
    items = manifest()
    page = write_card(
        tmp_path,
        manifest=items,
        extracted=extracted(crops_of(items, 2)),
        validation_report={"passed": False, "rules": []},
        data_digest=None,
    )
    assert "(did not pass)" in page.read_text()


def test_the_digest_of_the_tables_ignores_crops_of_items_that_are_gone() -> None:
    items = manifest()
    kept = items.iloc[:8]
    assert tables_digest(kept, crops_of(items, 2)) == tables_digest(kept, crops_of(kept, 2))
    assert tables_digest(kept, crops_of(kept, 2)) != tables_digest(items, crops_of(items, 2))
    assert tables_digest(items.assign(licence="other"), crops_of(items, 2)) == tables_digest(
        items, crops_of(items, 2)
    )
