"""The cross-set table on clips whose result is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.evaluation.cross_set import describe_cross_set, measure_cross_set


@pytest.fixture
def clips() -> pd.DataFrame:
    """Six genuine clips; `easy` scores above all of them, `hard` at random, `moving` is not covered."""
    rows = [
        {"label": "real", "method": "", "family": "", "person": f"r{i}", "pair": f"p{i}", "p": 0.1 + 0.05 * i}
        for i in range(6)
    ]
    for method, family, scores in (
        ("easy", "swap", [0.9, 0.8, 0.95]),
        ("hard", "lip-sync", [0.12, 0.24, 0.36]),
        ("rare", "swap", [0.0]),
        ("moving", "portrait animation", [0.0, 0.01, 0.02]),
    ):
        rows += [
            {
                "label": "fake",
                "method": method,
                "family": family,
                "person": f"{method}{i}",
                "pair": f"p{i}",
                "p": p,
            }
            for i, p in enumerate(scores)
        ]
    table = pd.DataFrame(rows)
    table["p_fake:one"] = table["p"]
    table["verdict:one"] = np.where(table["p"] > 0.32, "inconclusive", "likely_real")
    table["p_fake:two"] = np.where(table["label"] == "fake", 1.0, 0.0)
    table["verdict:two"] = np.where(table["label"] == "fake", "likely_fake", "likely_real")
    return table


def test_methods_families_mean_and_worst(clips):
    one, two = measure_cross_set(clips, ["one", "two"])
    aucs = {group.name: group.auc.value for group in one.methods}
    assert aucs == {"easy": 1.0, "hard": pytest.approx(10 / 18), "rare": 0.0, "moving": 0.0}
    assert {group.name: group.n for group in one.families} == {
        "swap": 4,
        "lip-sync": 3,
        "portrait animation": 3,
    }
    assert one.mean.value == pytest.approx((1 + 10 / 18) / 2), (
        "a rare method and what is not covered do not count"
    )
    assert one.worst.value == pytest.approx(10 / 18)
    assert (two.mean.value, two.worst.value) == (1.0, 1.0)
    assert one.gain is None
    assert two.gain is not None
    assert two.gain.value == pytest.approx(1 - one.mean.value)
    assert one.mean.low is not None
    assert one.mean.low <= one.mean.value <= one.mean.high


def test_pairs_and_genuine_verdicts(clips):
    one, two = measure_cross_set(clips, ["one", "two"])
    assert one.num_pairs == 10
    # easy 3 of 3, hard 0.12 > 0.1, 0.24 > 0.15, 0.36 > 0.2; rare and moving none
    assert one.pairs.value == pytest.approx(6 / 10)
    assert two.pairs.value == 1.0
    assert one.genuine["likely_real"].value == pytest.approx(5 / 6)
    assert one.genuine["inconclusive"].value == pytest.approx(1 / 6)


def test_the_table_has_a_row_for_each_figure(clips):
    results = measure_cross_set(clips, ["one", "two"])
    lines = describe_cross_set(results).splitlines()
    assert len(lines) == 2 + 3 + 4 + 3 + 1 + 3
    assert all(line.count("|") == 4 for line in lines)


@pytest.mark.parametrize("label", ["real", "fake"])
def test_one_class_alone_is_refused(clips, label):
    with pytest.raises(ValueError, match="genuine and forged"):
        measure_cross_set(clips[clips["label"] == label], ["one"])
