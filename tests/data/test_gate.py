from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.data.columns import CROP_COLUMNS
from deepfakestream.data.gate.checking import Checker, RuleResult
from deepfakestream.data.gate.report import set_aside
from deepfakestream.data.gate.rules import crop_rules, item_rules, split_rules
from deepfakestream.data.gate.views import crops_view, items_view, splits_view
from deepfakestream.data.manifest import to_frame
from deepfakestream.params import ValidateParams

PARAMS = ValidateParams(
    min_items=6,
    min_groups_per_split=1,
    max_share_without_face=0.3,
    fake_share=(0.05, 0.95),
    min_face_px=24,
    luma=(8.0, 247.0),
    min_sharpness=1.0,
    max_duplicate_share=0.05,
)


def digest(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Three groups, one a split, each with a real and its fake, from two people."""
    rows = []
    for number in range(6):
        is_fake = number % 2 == 1
        rows.append(
            {
                "media_id": digest(number),
                "path": f"media/{number}",
                "kind": "video",
                "label": "fake" if is_fake else "real",
                "manipulation": "swap" if is_fake else "none",
                "group_id": f"set:{number // 2}",
                "identity": f"person {number // 2}",
                "split": ("train", "val", "test")[number // 2],
                "source": "set",
                "original_name": f"{number}.mp4",
                "size_bytes": 1000,
            }
        )
    return to_frame(rows)


@pytest.fixture
def crops(manifest: pd.DataFrame) -> pd.DataFrame:
    """Two crops an item, all good."""
    rows = []
    for position, item in enumerate(manifest.to_dict("records")):
        for frame in range(2):
            row = dict.fromkeys(CROP_COLUMNS) | {
                name: item[name]
                for name in ("media_id", "label", "manipulation", "group_id", "split", "source")
            }
            row |= {
                "crop_id": f"{item['media_id']}:{frame}:0",
                "crop_sha256": digest(1000 + 2 * position + frame),
            }
            row |= {"score": 0.9, "face_px": 80.0, "sharpness": 50.0, "luma": 120.0, "track_id": 0}
            row |= {"box_xyxy": [0.0] * 4, "landmarks_xy": [0.0] * 10, "frame_index": frame}
            rows.append(row)
    return pd.DataFrame(rows)


Break = Callable[[pd.DataFrame, pd.DataFrame], None]


def check(
    manifest: pd.DataFrame, crops: pd.DataFrame, *, table: str = "", docs_dir: Path | None = None
) -> list[RuleResult]:
    """Check all tables, or the one named."""
    checker = Checker(docs_dir)
    results: list[RuleResult] = []
    if table in ("", "items"):
        rules = item_rules(PARAMS)
        results += checker.check("items", items_view(manifest, crops), rules, id_column="media_id")
    if table in ("", "crops"):
        rules = crop_rules(PARAMS)
        results += checker.check("crops", crops_view(crops, manifest), rules, id_column="crop_id")
    view = splits_view(crops, {entry.crop_id for entry in set_aside(results)})
    for name, is_test in (("splits", False), ("test_split", True)):
        if table in ("", name):
            rows = view[(view["split"] == "test") == is_test].reset_index(drop=True)
            results += checker.check(name, rows, split_rules(PARAMS, is_test=is_test), id_column="split")
    return results


def test_a_good_set_keeps_every_rule_and_fills_the_pages(
    manifest: pd.DataFrame, crops: pd.DataFrame, tmp_path: Path
) -> None:
    results = check(manifest, crops, docs_dir=tmp_path / "docs")
    assert [result.describe() for result in results if not result.passed] == []
    assert len(results) > 40
    assert (tmp_path / "docs" / "index.html").exists()


def change(table: str, column: str, value: object, row: int = 0) -> Break:
    def apply(manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
        frame = manifest if table == "items" else crops
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value

    return apply


def change_all(table: str, column: str, value: object) -> Break:
    def apply(manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
        (manifest if table == "items" else crops)[column] = value

    return apply


def drop_crops(first: int) -> Break:
    def apply(manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
        crops.drop(index=crops.index[first:], inplace=True)

    return apply


@pytest.mark.parametrize(
    ("harm", "rule"),
    [
        (change("items", "label", "unsure"), "items.label_words"),
        (change("items", "label", None), "items.label_present"),
        (change("items", "source", None), "items.source_present"),
        (change("items", "split", "dev"), "items.split_words"),
        (change("items", "kind", "sound"), "items.kind_words"),
        (change("items", "media_id", "no digest"), "items.digest"),
        (change("items", "media_id", digest(1)), "items.unique_id"),
        (change("items", "size_bytes", 0), "items.not_empty"),
        (change("items", "manipulation", "swap"), "items.method_fits_label"),
        (change("items", "group_id", "set:1"), "items.no_group_crosses_splits"),
        (change("items", "identity", "person 2"), "items.no_identity_crosses_splits"),
        (change_all("items", "label", "real"), "items.fake_share"),
        (drop_crops(4), "items.share_with_face"),
        (lambda manifest, crops: manifest.drop(index=0, inplace=True), "items.row_count"),
        (change("crops", "crop_sha256", "short"), "crops.digest"),
        (change("crops", "crop_id", f"{digest(1)}:0:0"), "crops.unique_id"),
        (change("crops", "split", "val"), "crops.agrees_with_item"),
        (change("crops", "label", None), "crops.label_present"),
        (change("crops", "crop_sha256", digest(1011)), "crops.no_digest_crosses_splits"),
        (change_all("crops", "crop_sha256", digest(9)), "crops.share_of_copies"),
        (change("crops", "face_px", 23.0), "crops.face_px"),
        (change("crops", "luma", 7.0), "crops.luma"),
        (change("crops", "luma", 250.0), "crops.luma"),
        (change("crops", "sharpness", 0.5), "crops.sharpness"),
        (change("crops", "score", 1.5), "crops.score"),
        (change_all("crops", "label", "real"), "splits.num_fake"),
        (change_all("crops", "label", "fake"), "splits.num_real"),
        (drop_crops(4), "splits.num_groups"),
        (drop_crops(8), "test_split.num_groups"),
    ],
)
def test_each_rule_can_fail(harm: Break, rule: str, manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
    harm(manifest, crops)
    results = check(manifest, crops, table=rule.split(".")[0])
    broken = {f"{result.table}.{result.rule}": result for result in results}
    assert not broken[rule].passed
    gentle = ("crops.face_px", "crops.luma", "crops.sharpness", "crops.score", "test_split.num_groups")
    assert broken[rule].severity == ("warning" if rule in gentle else "critical")


def test_a_missing_column_breaks_its_rules(manifest: pd.DataFrame) -> None:
    table = manifest.drop(columns=["size_bytes"])
    results = Checker().check("items", table, item_rules(PARAMS), id_column="media_id")
    broken = {result.rule: result.observed for result in results if not result.passed}
    assert broken["columns"] == "no column size_bytes"
    assert broken["not_empty"] == "a column that is not there"


def test_bad_crops_are_set_aside_and_their_items_count_while_one_is_left(
    manifest: pd.DataFrame, crops: pd.DataFrame
) -> None:
    crops.loc[[0, 2, 3], "luma"] = 2.0
    crops.loc[0, "face_px"] = 10.0
    results = check(manifest, crops)
    aside = set_aside(results)
    assert [(entry.media_id, entry.rule) for entry in aside] == [
        (digest(0), "face_px"),
        (digest(0), "luma"),
        (digest(1), "luma"),
        (digest(1), "luma"),
    ]
    view = splits_view(crops, {entry.crop_id for entry in aside}).set_index("split")
    assert view.loc["train", ["num_items", "num_real", "num_fake"]].tolist() == [1, 1, 0]
    broken = [result for result in results if not result.passed and result.severity == "critical"]
    assert [f"{result.table}.{result.rule}" for result in broken] == ["splits.num_fake"]
    assert broken[0].describe().startswith("splits.num_fake (1 row, e.g. train): ingest more source groups")
