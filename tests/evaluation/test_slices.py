from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.evaluation.slices import Slice, cut, measure_gaps, measure_slices, worst_slices


def _scores(n: int, *, shift: float = 2.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    is_fake = np.arange(n) % 2 == 1
    return pd.DataFrame(
        {
            "media_id": [f"m{i}" for i in range(n)],
            "label": np.where(is_fake, "fake", "real"),
            "manipulation": np.where(is_fake, np.where(np.arange(n) % 4 == 1, "swap", "blend"), "none"),
            "group_id": [f"g{i}" for i in range(n)],
            "p_fake": 1 / (1 + np.exp(-(rng.normal(size=n) + shift * is_fake - shift / 2))),
            "face_px": rng.uniform(40, 300, n),
            "sharpness": rng.uniform(1, 500, n),
            "luma": rng.uniform(20, 230, n),
        }
    )


def _measure(scores: pd.DataFrame) -> tuple[Slice, ...]:
    return measure_slices(scores, threshold=0.5, num_bootstrap=20, seed=0)


def test_empty() -> None:
    assert _measure(_scores(0)) == ()


def test_one_value_cannot_be_cut_into_thirds() -> None:
    names = {column for column, _, _ in cut(_scores(90).assign(face_px=224.0))}
    assert names == {"manipulation", "sharpness", "luma"}


def test_a_third_that_holds_every_file_is_no_slice() -> None:
    quality = np.where(np.arange(90) < 80, 75.0, 95.0)
    assert "jpeg_quality" not in {column for column, _, _ in cut(_scores(90).assign(jpeg_quality=quality))}


def test_large_bounds_are_written_out() -> None:
    names = [name for column, name, _ in cut(_scores(90).assign(face_px=np.arange(90) * 100.0))]
    assert "high (≥ 5933 px)" in names


def test_each_manipulation_against_all_reals() -> None:
    found = {name: rows for column, name, rows in cut(_scores(200)) if column == "manipulation"}
    assert sorted(found) == ["blend", "swap"]
    assert {name: (rows["label"] == "real").sum() for name, rows in found.items()} == {
        "blend": 100,
        "swap": 100,
    }
    assert {name: (rows["label"] == "fake").sum() for name, rows in found.items()} == {
        "blend": 50,
        "swap": 50,
    }


def test_thirds_hold_every_file_once() -> None:
    scores = _scores(200)
    thirds = [rows for column, _, rows in cut(scores) if column == "luma"]
    assert len(thirds) == 3
    assert sorted(pd.concat(thirds)["media_id"]) == sorted(scores["media_id"])
    assert thirds[0]["luma"].max() < thirds[1]["luma"].min()


@pytest.mark.parametrize(
    ("num_real", "num_fake", "status"),
    [(9, 40, "insufficient"), (40, 9, "insufficient"), (10, 20, "ok"), (10, 19, "insufficient")],
)
def test_minimum(num_real: int, num_fake: int, status: str) -> None:
    scores = _scores(120)
    chosen = pd.concat(
        [
            scores[scores["label"] == "real"].head(num_real),
            scores[scores["label"] == "fake"].head(num_fake).assign(manipulation="swap"),
        ]
    )
    swap = next(each for each in _measure(chosen) if each.column == "manipulation")
    assert swap.status == status
    assert (swap.auc.value is None) == (status == "insufficient")
    assert (swap.n_real, swap.n_fake) == (num_real, num_fake)


def test_finds_the_weak_slice() -> None:
    scores = _scores(400, shift=3.0)
    blend = scores["manipulation"] == "blend"
    scores.loc[blend, "p_fake"] = np.random.default_rng(1).uniform(0, 0.6, int(blend.sum()))
    found = {each.name: each.auc.value for each in _measure(scores) if each.column == "manipulation"}
    weak, strong = found["blend"], found["swap"]
    assert weak is not None
    assert strong is not None
    assert weak < 0.75 < 0.9 < strong
    worst = worst_slices(_measure(scores), limit=1)
    assert [(each.column, each.name) for each in worst] == [("manipulation", "blend")]
    gaps = measure_gaps(scores, _measure(scores), threshold=0.5, num_bootstrap=50, seed=0)
    gap = gaps[0]
    assert (gap.column, gap.measure, gap.worst, gap.best) == ("manipulation", "auc", "blend", "swap")
    assert gap.gap.value == pytest.approx(strong - weak)
    assert gap.gap.low is not None
    assert gap.gap.high is not None
    assert 0 < gap.gap.low < gap.gap.value < gap.gap.high


def test_files_without_score_are_in_no_slice() -> None:
    scores = _scores(100).assign(p_fake=np.nan)
    assert cut(scores) == []


def test_missing_values_are_in_no_slice() -> None:
    scores = _scores(200).assign(ita_deg=np.nan, jpeg_quality=np.where(np.arange(200) < 100, 90.0, np.nan))
    scores.loc[:49, "jpeg_quality"] = 40.0
    found = [(column, len(rows)) for column, _, rows in cut(scores) if column in {"ita_deg", "jpeg_quality"}]
    assert sum(count for _, count in found) == 100
    assert {column for column, _ in found} == {"jpeg_quality"}


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("ita_deg", -40.0, "dark (< -30°)"),
        ("ita_deg", -30.0, "brown (-30 to 10°)"),
        ("ita_deg", 28.0, "intermediate (28 to 41°)"),
        ("ita_deg", 60.0, "very light (55 to 90°)"),
        ("abs_yaw_deg", 0.0, "frontal (< 15°)"),
        ("abs_yaw_deg", 15.0, "half turned (15 to 30°)"),
        ("abs_yaw_deg", 80.0, "turned away (30 to 90°)"),
    ],
)
def test_groups_with_bounds_from_outside(column: str, value: float, name: str) -> None:
    found = [name for key, name, _ in cut(_scores(40).assign(**{column: value})) if key == column]
    assert found == [name]


def test_one_source_is_no_slice_and_two_are() -> None:
    assert "source" not in {column for column, _, _ in cut(_scores(40).assign(source="a"))}
    scores = _scores(40).assign(source=["a", "b"] * 20)  # a: reals, b: fakes
    found = {each.name: each for each in _measure(scores) if each.column == "source"}
    assert {name: each.status for name, each in found.items()} == {"a": "insufficient", "b": "insufficient"}
    assert found["a"].fpr.value is not None
    assert found["a"].tpr.value is None


class TestGaps:
    def test_small_slices_are_not_ranked(self) -> None:
        scores = _scores(24)
        slices = _measure(scores)
        assert slices
        assert worst_slices(slices, limit=5) == ()
        assert measure_gaps(scores, slices, threshold=0.5, num_bootstrap=10, seed=0) == ()

    def test_more_false_alarms_in_one_group_are_found(self) -> None:
        scores = _scores(400).assign(ita_deg=np.repeat([0.0, 50.0], 200))
        alarms = (scores["label"] == "real") & (scores["ita_deg"] == 0.0)
        scores.loc[alarms, "p_fake"] = np.linspace(0.2, 0.8, int(alarms.sum()))
        gaps = measure_gaps(scores, _measure(scores), threshold=0.5, num_bootstrap=50, seed=0)
        tone = next(gap for gap in gaps if gap.column == "ita_deg" and gap.measure == "fpr")
        assert tone.worst.startswith("brown")
        assert tone.value_worst == pytest.approx(0.5)
        assert (tone.n_worst, tone.n_best) == (100, 100)
        assert tone.gap.value is not None
        assert tone.gap.value > 0.2
