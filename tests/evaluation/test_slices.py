from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.evaluation.slices import Slice, cut, measure_slices


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
    assert (swap.metrics is None) == (status == "insufficient")
    assert (swap.n_real, swap.n_fake) == (num_real, num_fake)


def test_finds_the_weak_slice() -> None:
    scores = _scores(400, shift=3.0)
    blend = scores["manipulation"] == "blend"
    scores.loc[blend, "p_fake"] = np.random.default_rng(1).uniform(0, 0.6, int(blend.sum()))
    found = {each.name: each.metrics for each in _measure(scores) if each.column == "manipulation"}
    assert found["swap"] is not None
    assert found["blend"] is not None
    weak, strong = found["blend"]["auc"].value, found["swap"]["auc"].value
    assert weak is not None
    assert strong is not None
    assert weak < 0.75 < 0.9 < strong


def test_files_without_score_are_in_no_slice() -> None:
    scores = _scores(100).assign(p_fake=np.nan)
    assert cut(scores) == []
