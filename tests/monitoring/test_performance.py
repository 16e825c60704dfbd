from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from deepfakestream.evaluation.estimate import share
from deepfakestream.monitoring.performance import (
    MAX_MEASURED,
    WARNING,
    Performance,
    expected_performance,
    with_measured,
)


def predictions(p_fake, *, threshold: float = 0.5) -> pd.DataFrame:
    n = len(p_fake)
    return pd.DataFrame(
        {
            "prediction_id": [f"p{row}" for row in range(n)],
            "p_fake": np.asarray(p_fake, np.float64),
            "threshold": threshold,
            "media_sha256": [f"f{row}" for row in range(n)],
            "client": None,
        }
    )


def expected(p_fake, **more: float) -> Performance:
    return expected_performance(predictions(p_fake, **more), minimum=1)


def test_each_score_is_the_chance_of_a_fake() -> None:
    found = expected([0.9, 0.8, 0.2, 0.1]).expected
    values = {name: number.value for name, number in found.items()}
    assert values == pytest.approx(
        {"auc": values["auc"], "accuracy": 0.85, "tpr": 0.85, "fpr": 0.15, "share_fake": 0.5}
    )


@pytest.mark.parametrize("p_fake", [[0.9, 0.8, 0.2, 0.1], [0.5, 0.5, 0.9], [0.3, 0.3, 0.3, 0.7, 0.7]])
def test_the_expected_auc_is_that_of_all_ways_to_label_the_files(p_fake) -> None:
    """Pairs in order over all pairs of a fake and a genuine file, both in expectation."""
    in_order = pairs = 0.0
    for labels in itertools.product([False, True], repeat=len(p_fake)):
        chance = np.prod([p if label else 1 - p for p, label in zip(p_fake, labels, strict=True)])
        if 0 < sum(labels) < len(labels):
            num_pairs = sum(labels) * (len(labels) - sum(labels))
            in_order += chance * num_pairs * roc_auc_score(labels, p_fake)
            pairs += chance * num_pairs
    assert expected(p_fake).expected["auc"].value == pytest.approx(in_order / pairs)


def test_the_interval_holds_what_is_then_measured() -> None:
    held = dict.fromkeys(("auc", "accuracy", "tpr", "fpr"), 0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = rng.beta(0.5, 0.5, 120)
        table = predictions(scores)
        labels = dict(
            zip(table["prediction_id"], np.where(rng.random(120) < scores, "fake", "real"), strict=True)
        )
        found = with_measured(expected_performance(table, minimum=30), table, labels)
        for name in held:
            held[name] += found.expected[name].low <= found.measured[name].value <= found.expected[name].high
    assert min(held.values()) >= 17, held


def test_scores_in_the_middle_promise_less() -> None:
    sure, unsure = (expected(np.linspace(low, 1 - low, 50)).expected["auc"].value for low in (0.01, 0.35))
    assert sure > unsure + 0.1


@pytest.mark.parametrize("p_fake", [[], [np.nan] * 40, [0.5] * 29])
def test_too_few_scores_promise_nothing(p_fake) -> None:
    found = expected_performance(predictions(p_fake), minimum=30)
    assert found == Performance()
    assert found.lines() == []


def test_what_is_not_defined_is_left_out() -> None:
    assert set(expected([0.0] * 40).expected) == {"accuracy", "fpr", "share_fake"}


def test_files_of_one_client_are_drawn_together() -> None:
    scores = np.repeat(np.random.default_rng(0).beta(0.5, 0.5, 25), 8)
    table = predictions(scores)
    apart, together = (
        expected_performance(table.assign(client=client), minimum=30).expected["share_fake"]
        for client in (None, [f"key {row // 8}" for row in range(len(table))])
    )
    assert together.value == apart.value
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_measured_numbers_are_rates_with_wilson_intervals() -> None:
    table = predictions([0.9, 0.6, 0.4, 0.1, np.nan, 0.7])
    labels = {"p0": "fake", "p1": "real", "p2": "fake", "p3": "real", "p4": "fake", "gone": "real"}
    found = with_measured(Performance(), table, labels)
    assert (found.num_real, found.num_fake) == (2, 2)
    assert found.measured["tpr"] == share(1, 2)
    assert found.measured["fpr"] == share(1, 2)
    assert found.measured["accuracy"] == share(2, 4)
    assert found.measured["auc"].value == 0.75
    assert WARNING not in found.lines()


def test_of_one_file_the_last_prediction_counts() -> None:
    table = predictions([0.1, 0.9]).assign(media_sha256="same")
    found = with_measured(Performance(), table, {"p0": "fake", "p1": "fake"})
    assert found.measured["tpr"] == share(1, 1)
    assert "auc" not in found.measured


def test_of_many_labels_the_newest_count() -> None:
    table = predictions([0.1] * 10 + [0.9] * MAX_MEASURED)
    found = with_measured(Performance(), table, dict.fromkeys(table["prediction_id"], "fake"))
    assert found.measured["tpr"] == share(MAX_MEASURED, MAX_MEASURED)


def test_without_labels_nothing_is_measured() -> None:
    found = expected([0.2, 0.8])
    assert with_measured(found, predictions([0.2]), {}) == found
    assert found.lines()[-1] == WARNING
