from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.data.columns import CROP_COLUMNS
from deepfakestream.data.manifest import to_frame
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.validation.checking import Checker, RuleResult
from deepfakestream.data.validation.report import excluded_crops, record_in_ledger, refusals
from deepfakestream.data.validation.rules import (
    crop_rules,
    distribution_rules,
    item_rules,
    method_rules,
    near_duplicate_rules,
    shortcut_rules,
    split_rules,
)
from deepfakestream.data.validation.shortcuts import Shortcut
from deepfakestream.data.validation.views import (
    crops_view,
    distributions_view,
    items_view,
    methods_view,
    near_duplicates_view,
    shortcuts_view,
    splits_view,
)
from deepfakestream.errors import Reason
from deepfakestream.params import load_params

PARAMS = load_params(Path(__file__).parents[3] / "params.yaml").validate_


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
            row |= {"box_xyxy": [0.0] * 4, "landmarks_xy": [0.0] * 10, "frame_index": frame, "time_s": 0.5}
            rows.append(row)
    return pd.DataFrame(rows)


Break = Callable[[pd.DataFrame, pd.DataFrame], None]


def check(manifest: pd.DataFrame, crops: pd.DataFrame, *, table: str = "") -> list[RuleResult]:
    """Check all tables, or the one named."""
    checker = Checker()
    results: list[RuleResult] = []
    if table in ("", "items"):
        rules = item_rules(PARAMS)
        results += checker.check("items", items_view(manifest, crops), rules, id_column="media_id")
    if table in ("", "crops"):
        rules = crop_rules(PARAMS)
        results += checker.check("crops", crops_view(crops, manifest), rules, id_column="crop_id")
    if table in ("", "methods"):
        results += checker.check("methods", methods_view(manifest), method_rules(PARAMS), id_column="method")
    if table in ("", "distributions"):
        view = distributions_view(crops, PARAMS)
        results += checker.check("distributions", view, distribution_rules(), id_column="quantile")
    view = splits_view(crops, {entry.crop_id for entry in excluded_crops(results, crops)})
    for name, is_test in (("splits", False), ("test_split", True)):
        if table in ("", name):
            rows = view[(view["split"] == "test") == is_test].reset_index(drop=True)
            results += checker.check(name, rows, split_rules(PARAMS, is_test=is_test), id_column="split")
    return results


def test_a_good_set_keeps_every_rule_(manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
    results = check(manifest, crops)
    assert [result.describe() for result in results if not result.passed] == []
    assert len(results) > 40


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
        (lambda manifest, crops: manifest.drop(index=[1, 3], inplace=True), "methods.num_items"),
        (change_all("crops", "face_px", 30.0), "distributions.in_range"),
        (change_all("crops", "luma", 30.0), "distributions.in_range"),
        (change_all("crops", "luma", 240.0), "distributions.in_range"),
        (change_all("crops", "sharpness", 3.0), "distributions.in_range"),
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
    aside = excluded_crops(results, crops)
    assert [(entry.media_id, entry.rule) for entry in aside] == [
        (digest(0), "face_px"),
        (digest(0), "luma"),
        (digest(1), "luma"),
        (digest(1), "luma"),
    ]
    view = splits_view(crops, {entry.crop_id for entry in aside}).set_index("split")
    assert view.loc["train", ["num_items", "num_real", "num_fake"]].tolist() == [1, 1, 0]
    broken = [r for r in results if not r.passed and r.severity == "critical" and r.table == "splits"]
    assert [result.rule for result in broken] == ["num_fake"]
    assert broken[0].describe().startswith("splits.num_fake (1 row, e.g. train): ingest more source groups")


def test_the_repeated_frames_of_a_clip_are_no_copies(manifest: pd.DataFrame, crops: pd.DataFrame) -> None:
    crops.loc[1, "crop_sha256"] = crops.loc[0, "crop_sha256"]
    assert crops_view(crops, manifest)["is_copy"].sum() == 0
    crops.loc[2, "crop_sha256"] = crops.loc[0, "crop_sha256"]
    assert crops_view(crops, manifest)["is_copy"].tolist()[:3] == [0.0, 0.0, 1.0]


def test_a_quantile_out_of_range_is_told_with_its_bounds(crops: pd.DataFrame) -> None:
    crops["luma"] = 30.0
    view = distributions_view(crops, PARAMS)
    (result,) = Checker().check("distributions", view, distribution_rules(), id_column="quantile")
    assert result.failed_ids == ["luma p50", "luma p95"]
    assert "2 rows, e.g. luma p50 is 30, not 40 to 220" in result.describe()


def pair(aside: int, kept: int) -> pd.DataFrame:
    sides = {"aside": (aside, "train"), "kept": (kept, "val")}
    row: dict[str, object] = {"similarity": 0.971, "num_crops": 2}
    for side, (number, split) in sides.items():
        row |= {f"{side}_id": digest(number), f"{side}_name": f"set/{number}.mp4", f"{side}_split": split}
    return pd.DataFrame([row])


def test_a_near_duplicate_takes_all_crops_of_the_earlier_item(
    manifest: pd.DataFrame, crops: pd.DataFrame
) -> None:
    view = near_duplicates_view(pair(0, 2))
    results = Checker().check("near_duplicates", view, near_duplicate_rules(), id_column="media_id")
    assert "1 row, e.g. set/0.mp4 in train ~ set/2.mp4 in val (0.97)" in results[0].describe()
    aside = excluded_crops(results, crops)
    assert [(entry.crop_id, entry.rule) for entry in aside] == [
        (f"{digest(0)}:0:0", "near_duplicate"),
        (f"{digest(0)}:1:0", "near_duplicate"),
    ]
    splits = splits_view(crops, {entry.crop_id for entry in aside}, pair(0, 2)).set_index("split")
    assert splits["near_duplicate_share"].tolist() == [0.5, 0.5, 0.0]
    rules = split_rules(PARAMS, is_test=False)
    results = Checker().check("splits", splits.reset_index(), rules, id_column="split")
    broken = {result.rule: result for result in results if not result.passed}
    assert broken["near_duplicate_share"].severity == "critical"
    assert broken["near_duplicate_share"].failed_ids == ["train", "val"]


@pytest.mark.parametrize(
    ("low", "is_metadata", "broken"),
    [
        (0.69, True, []),
        (0.75, True, ["hints_at_label"]),
        (0.95, True, ["gives_label_away", "hints_at_label"]),
        (0.95, False, ["hints_at_label"]),
    ],
)
def test_a_shortcut_warns_and_only_metadata_stop(low: float, is_metadata: bool, broken: list[str]) -> None:
    found = [Shortcut(column="fps", auc=0.97, low=low, high=0.99, is_metadata=is_metadata)]
    view = shortcuts_view(found)
    results = Checker().check("shortcuts", view, shortcut_rules(PARAMS), id_column="column")
    assert [result.rule for result in results if not result.passed] == broken
    assert all(f"fps: AUC 0.97 ({low:.2f} to 0.99)" in r.describe() for r in results if not r.passed)


def test_the_ledger_lists_what_was_set_aside_and_forgets_what_is_not(
    manifest: pd.DataFrame, crops: pd.DataFrame, tmp_path: Path
) -> None:
    crops.loc[0, "luma"] = 2.0
    ledger = Quarantine(tmp_path / "quarantine.db")
    dark = excluded_crops(check(manifest, crops, table="crops"), crops)
    record_in_ledger(ledger, refusals(dark, crops, manifest, data_dir=tmp_path))
    (entry,) = ledger.list()
    assert (entry.refusal.original_name, entry.refusal.reason) == ("0.mp4", Reason.LOW_QUALITY)
    assert "1 of 2 crops (luma 1)" in entry.refusal.message
    view = near_duplicates_view(pair(0, 2))
    alike = Checker().check("near_duplicates", view, near_duplicate_rules(), id_column="media_id")
    refused = refusals(excluded_crops(alike, crops), crops, manifest, data_dir=tmp_path)
    record_in_ledger(ledger, refused)
    assert [entry.refusal.reason for entry in ledger.list()] == [Reason.NEAR_DUPLICATE]
