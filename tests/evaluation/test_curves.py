from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.evaluation.curves import RankedScores, calibration_error, mass_bins, roc_curve


def test_no_items_have_no_calibration_error() -> None:
    assert np.isnan(calibration_error(np.array([], dtype=bool), np.array([])))


@pytest.mark.parametrize(("n", "num_bins"), [(1, 1), (19, 1), (20, 2), (149, 14), (150, 15), (1000, 15)])
def test_bins_follow_the_number_of_items(n: int, num_bins: int) -> None:
    bins = mass_bins(np.linspace(0, 1, n))
    assert len(set(bins)) == num_bins
    counts = np.bincount(bins)
    assert counts.max() - counts.min() <= 1


def test_equal_scores_share_a_bin_and_hide_no_order() -> None:
    p = np.full(100, 0.5)
    is_fake = np.arange(100) >= 50
    assert calibration_error(is_fake, p) == 0.0


def test_calibration_error_by_hand() -> None:
    # Two bins of ten: says 0.2 where none is fake, says 0.9 where all are.
    p = np.array([0.2] * 10 + [0.9] * 10)
    is_fake = np.array([False] * 10 + [True] * 10)
    assert calibration_error(is_fake, p) == pytest.approx((0.2 + 0.1) / 2)


def test_calibrated_scores_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    assert calibration_error(rng.random(20_000) < p, p) < 0.02


@pytest.mark.parametrize("labels", [[], [True], [False, False]])
def test_no_curve_without_both_classes(labels: list[bool]) -> None:
    assert roc_curve(np.array(labels, dtype=bool), np.zeros(len(labels))) is None


class TestRankedScores:
    def test_empty(self) -> None:
        ranked = RankedScores(np.array([], dtype=bool), np.array([]))
        assert np.isnan(ranked.auc(np.array([], dtype=np.int64)))

    def test_one_class_drawn(self) -> None:
        ranked = RankedScores(np.array([True, False]), np.array([0.9, 0.1]))
        assert np.isnan(ranked.auc(np.array([2, 0])))

    def test_same_as_the_roc_of_repeated_items_with_ties(self) -> None:
        rng = np.random.default_rng(0)
        is_fake, scores = rng.random(80) < 0.5, rng.random(80).round(1)
        counts = rng.integers(0, 4, 80)
        items = np.repeat(np.arange(80), counts)
        curve = roc_curve(is_fake[items], scores[items])
        assert curve is not None
        assert RankedScores(is_fake, scores).auc(counts) == pytest.approx(curve.auc)
