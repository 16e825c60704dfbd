from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.calibration import (
    IDENTITY,
    LIKELY_REAL_SHARE,
    MIN_PER_CLASS,
    fit_platt,
    operating_points,
)
from deepfakestream.model.spec import CalibrationSpec

TARGET_FPR = {"balanced": 0.05, "low_fpr": 0.01}


def _scores(num_real: int, num_fake: int, *, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    is_fake = np.repeat([False, True], [num_real, num_fake])
    return rng.normal(np.where(is_fake, 1.0, -1.0), 1.0), is_fake


class TestPlatt:
    @pytest.mark.parametrize(
        ("num_real", "num_fake"), [(0, 0), (50, 0), (0, 50), (MIN_PER_CLASS - 1, 50), (50, MIN_PER_CLASS - 1)]
    )
    def test_too_few_leave_logits_as_they_are(self, num_real: int, num_fake: int) -> None:
        assert fit_platt(*_scores(num_real, num_fake)) == IDENTITY

    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (3.0, 1.0), (0.5, -1.0)])
    def test_recovers_a_known_scaling(self, scale: float, shift: float) -> None:
        """N(+-1, 1) has log odds 2x: `scale * 2x + shift` needs slope 1 / scale, intercept -shift / scale."""
        x, is_fake = _scores(20_000, 20_000)
        found = fit_platt(scale * 2.0 * x + shift, is_fake)
        assert found.slope == pytest.approx(1.0 / scale, rel=0.05)
        assert found.intercept == pytest.approx(-shift / scale, rel=0.05, abs=0.06)

    def test_classes_weigh_alike(self) -> None:
        x, is_fake = _scores(2_000, 40_000)
        assert fit_platt(2.0 * x, is_fake).intercept == pytest.approx(0.0, abs=0.1)

    @pytest.mark.parametrize("flip", [False, True])
    def test_never_reorders(self, flip: bool) -> None:
        """Even a model that is wrong all along keeps its order: evaluation must see that it is wrong."""
        x, is_fake = _scores(50, 50)
        assert fit_platt(-x if flip else x, is_fake).slope > 0

    def test_separated_classes_stay_finite(self) -> None:
        found = fit_platt(np.repeat([-4.0, 4.0], 20), np.repeat([False, True], 20))
        assert np.isfinite([found.slope, found.intercept]).all()


class TestOperatingPoints:
    @pytest.mark.parametrize(
        ("num_real", "num_fake"), [(0, 0), (50, 0), (0, 50), (MIN_PER_CLASS - 1, MIN_PER_CLASS)]
    )
    def test_unmeasured(self, num_real: int, num_fake: int) -> None:
        points = operating_points(*_scores(num_real, num_fake), IDENTITY, measured_on="val")
        assert {point.measured_on for point in points.values()} == {"not measured (val)"}
        assert {point.fpr for point in points.values()} | {point.tpr for point in points.values()} == {None}
        assert all(point.inconclusive_from < point.threshold for point in points.values())

    @pytest.mark.parametrize("num_real", [MIN_PER_CLASS, 19, 20, 100, 1000])
    @pytest.mark.parametrize("name", TARGET_FPR)
    def test_false_positives_stay_within_the_target(self, name: str, num_real: int) -> None:
        logits, is_fake = _scores(num_real, 200)
        point = operating_points(logits, is_fake, IDENTITY, measured_on="val")[name]
        p_fake = calibrate(logits, IDENTITY)
        assert float((p_fake[~is_fake] >= point.threshold).mean()) == point.fpr
        assert point.fpr is not None
        assert point.fpr <= TARGET_FPR[name]
        assert float((p_fake[is_fake] >= point.threshold).mean()) == point.tpr

    @pytest.mark.parametrize("name", TARGET_FPR)
    def test_uses_what_the_target_allows(self, name: str) -> None:
        point = operating_points(*_scores(1000, 200), IDENTITY, measured_on="val")[name]
        assert point.fpr == TARGET_FPR[name]

    def test_every_condition_with_enough_reals_keeps_the_target(self) -> None:
        """Hard reals score higher: a threshold for the mixture would let one in six of them through."""
        rng = np.random.default_rng(3)
        easy, hard, few = rng.normal(-3.0, 1.0, 800), rng.normal(-1.0, 1.0, 200), np.full(20, 9.0)
        logits = np.concatenate([easy, hard, rng.normal(3.0, 1.0, 400)])
        is_fake = np.arange(1400) >= 1000
        conditions = np.repeat(["easy", "hard", "easy"], [800, 200, 400])
        mixed = operating_points(logits, is_fake, IDENTITY, measured_on="val")["balanced"]
        point = operating_points(logits, is_fake, IDENTITY, measured_on="val", conditions=conditions)[
            "balanced"
        ]
        p_hard = calibrate(hard, IDENTITY)
        assert (p_hard >= mixed.threshold).mean() > 0.15
        assert (p_hard >= point.threshold).mean() == pytest.approx(0.05, abs=0.006)
        assert point.fpr == pytest.approx((calibrate(logits[:1000], IDENTITY) >= point.threshold).mean())
        ignored = operating_points(
            np.append(logits, few),
            np.append(is_fake, np.zeros(len(few), bool)),
            IDENTITY,
            measured_on="val",
            conditions=np.append(conditions, ["few"] * len(few)),
        )["balanced"]
        assert ignored.threshold < calibrate(few, IDENTITY)[0]

    def test_ties_count_on_the_safe_side(self) -> None:
        is_fake = np.repeat([False, True], [20, 20])
        points = operating_points(np.where(is_fake, 1.0, 0.0), is_fake, IDENTITY, measured_on="val")
        assert (points["balanced"].fpr, points["balanced"].tpr) == (0.0, 1.0)

    @pytest.mark.parametrize("num_fakes", [20, 40, 1000])
    def test_high_recall_misses_as_many_as_it_may(self, num_fakes: int) -> None:
        point = operating_points(*_scores(200, num_fakes), IDENTITY, measured_on="val")["high_recall"]
        assert point.tpr == 0.95

    def test_the_band_begins_where_one_fake_in_ten_is_missed(self) -> None:
        reals = np.repeat([-5.0, 5.0], [45, 5])
        logits = np.concatenate([reals, np.linspace(-1.0, 1.0, 10)])
        point = operating_points(logits, np.arange(60) >= 50, IDENTITY, measured_on="val")["low_fpr"]
        assert point.inconclusive_from == pytest.approx(calibrate(logits[51:52], IDENTITY)[0])

    @pytest.mark.parametrize("name", ["balanced", "low_fpr"])
    def test_three_of_four_reals_of_every_condition_are_called_real(self, name: str) -> None:
        """Fakes like reals: by the fakes alone, nothing at all would be called real."""
        rng = np.random.default_rng(5)
        easy, hard = rng.normal(-2.0, 1.0, 400), rng.normal(0.0, 1.0, 400)
        logits = np.concatenate([easy, hard, rng.normal(-1.0, 1.0, 400)])
        conditions = np.repeat(["easy", "hard", "easy"], 400)
        is_fake = np.arange(1200) >= 800
        points = operating_points(logits, is_fake, IDENTITY, measured_on="val", conditions=conditions)
        called_real = calibrate(hard, IDENTITY) < points[name].inconclusive_from
        assert called_real.mean() == pytest.approx(LIKELY_REAL_SHARE, abs=0.005)
        assert (calibrate(easy, IDENTITY) < points[name].inconclusive_from).mean() > LIKELY_REAL_SHARE

    @pytest.mark.parametrize("num_fakes", [5, 10, 30, 50, 410])
    def test_high_recall_never_catches_fewer(self, num_fakes: int) -> None:
        point = operating_points(*_scores(20, num_fakes), IDENTITY, measured_on="val")["high_recall"]
        assert point.tpr is not None
        assert point.tpr >= 0.95

    @pytest.mark.parametrize("name", ["balanced", "low_fpr", "high_recall"])
    def test_band_below_the_threshold(self, name: str) -> None:
        calibration = CalibrationSpec(slope=2.0, intercept=0.3)
        point = operating_points(*_scores(300, 300), calibration, measured_on="val")[name]
        assert 0.0 <= point.inconclusive_from <= point.threshold <= 1.0
        assert point.measured_on == "val"

    def test_better_than_the_target_has_no_band(self) -> None:
        is_fake = np.repeat([False, True], [100, 100])
        point = operating_points(np.where(is_fake, 5.0, -5.0), is_fake, IDENTITY, measured_on="v")["low_fpr"]
        assert point.inconclusive_from == point.threshold
