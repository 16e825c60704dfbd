from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from deepfakestream.model.aggregation import calibrate, media_logit
from deepfakestream.model.calibration import IDENTITY, fit_platt, fit_temperature
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.selection import (
    MIN_FILES_PER_CLASS,
    PLAIN,
    choose_aggregation,
    choose_calibration,
    fit_quantile_weights,
)
from deepfakestream.model.spec import AggregationSpec, read_spec

FRAMES = 12


def _faces(num_files: int, *, frames: int = FRAMES, kind: str = "plain", seed: int = 0):
    """Logits, media, tracks and labels of files with one track: reals around -1, fakes around +1."""
    rng = np.random.default_rng(seed)
    is_fake = np.arange(num_files) % 2 == 1
    logits = rng.normal(np.where(is_fake, 0.4, -0.4)[:, None], 1.0, (num_files, frames))
    if kind == "outliers":  # some frames of every file are nonsense: the mean suffers, the median does not
        wild = rng.random(logits.shape) < 0.25
        logits = np.where(wild, rng.normal(0.0, 60.0, logits.shape), logits)
    if kind == "few forged frames":  # a fake shows in two of its twelve frames only
        logits = rng.normal(0.0, 1.0, logits.shape)
        logits[is_fake, : frames // 6] += 3.0
    media = np.repeat([f"m{i:04d}" for i in range(num_files)], frames)
    return logits.ravel(), media, np.zeros(logits.size, np.int64), np.repeat(is_fake, frames)


class TestAggregation:
    def test_one_face_a_file_cannot_tell_them_apart(self) -> None:
        found = choose_aggregation(*_faces(100, frames=1))
        assert (found.frames, found.min_track_frames) == (PLAIN.frames, PLAIN.min_track_frames)
        assert "each validation file has one face" in found.chosen_by

    def test_too_few_files(self) -> None:
        found = choose_aggregation(*_faces(2 * MIN_FILES_PER_CLASS - 2))
        assert found.frames == "mean"
        assert "only 19 real and 19 fake" in found.chosen_by

    def test_noise_alone_changes_nothing(self) -> None:
        for seed in range(5):
            assert choose_aggregation(*_faces(80, seed=seed)).frames == "mean"

    def test_wild_frames_call_for_a_robust_rule(self) -> None:
        found = choose_aggregation(*_faces(300, kind="outliers"))
        assert found.frames in {"median", "learned"}
        assert "chosen on 300 files" in found.chosen_by

    def test_fakes_that_show_in_few_frames_call_for_the_upper_quantiles(self) -> None:
        found = choose_aggregation(*_faces(300, kind="few forged frames"))
        assert found.frames == "learned"
        assert found.quantile_weights is not None
        assert sum(found.quantile_weights[3:]) > 0.6

    def test_same_faces_give_the_same_choice_in_any_order(self) -> None:
        faces = _faces(120, kind="few forged frames")
        order = np.random.default_rng(1).permutation(len(faces[0]))
        shuffled = choose_aggregation(*(column[order] for column in faces))
        plain = choose_aggregation(*faces)
        assert plain.quantile_weights is not None
        assert shuffled.quantile_weights == pytest.approx(plain.quantile_weights)
        assert shuffled.model_copy(update={"quantile_weights": plain.quantile_weights}) == plain


class TestLearned:
    def test_weights_are_shares(self) -> None:
        rng = np.random.default_rng(0)
        weights = fit_quantile_weights(np.sort(rng.normal(size=(60, 5)), axis=1), np.arange(60) % 2 == 1)
        assert min(weights) >= 0.0
        assert sum(weights) == pytest.approx(1.0)

    def test_scores_that_point_the_wrong_way_leave_equal_weights(self) -> None:
        is_fake = np.arange(60) % 2 == 1
        upside_down = np.where(is_fake, -3.0, 3.0)[:, None] + np.linspace(0, 0.1, 5)
        assert fit_quantile_weights(upside_down, is_fake) == pytest.approx((0.2,) * 5, abs=0.05)

    @pytest.mark.parametrize(
        ("logits", "expected"), [([1.5], 1.5), ([0.0, 1.0], 0.75), ([5.0, 3.0, 1.0, 2.0, 4.0], 4.0)]
    )
    def test_by_hand(self, logits: list[float], expected: float) -> None:
        spec = AggregationSpec(
            frames="learned", tracks="max", min_track_frames=1, quantile_weights=(0, 0, 0.5, 0, 0.5)
        )
        tracks: NDArray[np.int64] = np.zeros(len(logits), np.int64)
        assert media_logit(np.array(logits), tracks, spec) == pytest.approx(expected)

    def test_confident_by_hand(self) -> None:
        spec = AggregationSpec(frames="confident", tracks="max", min_track_frames=1)
        tracks: NDArray[np.int64] = np.zeros(5, np.int64)
        assert media_logit(np.array([0.1, -3.0, 2.0, -0.2, 4.0]), tracks, spec) == pytest.approx(1.0)


class TestSpec:
    @pytest.mark.parametrize(
        ("frames", "weights"),
        [("learned", None), ("mean", (0.5, 0.5)), ("learned", (0.5, 0.6)), ("learned", (1.5, -0.5))],
    )
    def test_refuses_weights_that_do_not_fit(self, frames: str, weights: tuple[float, ...] | None) -> None:
        with pytest.raises(ValidationError, match="quantile_weights"):
            AggregationSpec.model_validate(
                {"frames": frames, "tracks": "max", "min_track_frames": 1, "quantile_weights": weights}
            )

    def test_files_written_before_there_was_a_choice_still_load(self) -> None:
        spec = read_spec(packaged_model_dir())
        old = json.loads(spec.model_dump_json())
        for key in ("quantile_weights", "chosen_by"):
            del old["aggregation"][key]
        del old["calibration"]["method"]
        again = type(spec).model_validate(old)
        assert again.aggregation.frames == spec.aggregation.frames
        assert again.calibration.slope == spec.calibration.slope


class TestCalibration:
    def _logits(self, shift: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        is_fake = np.arange(600) % 2 == 1
        x = np.random.default_rng(0).normal(np.where(is_fake, 1.0, -1.0), 1.0)
        return 3.0 * x + shift, is_fake

    def test_a_temperature_where_even_odds_are_in_place(self) -> None:
        found = choose_calibration(*self._logits(0.0))
        assert (found.method, found.intercept) == ("temperature", 0.0)
        assert found.slope == pytest.approx(2.0 / 3.0, rel=0.15)

    def test_platt_where_they_are_shifted(self) -> None:
        found = choose_calibration(*self._logits(2.5))
        assert found.method == "platt"
        assert found.intercept == pytest.approx(-2.5 * 2.0 / 3.0, rel=0.2)

    def test_too_few_files_leave_the_logits(self) -> None:
        assert choose_calibration(np.array([1.0, -1.0]), np.array([True, False])) == IDENTITY

    def test_a_temperature_is_platt_without_an_intercept(self) -> None:
        logits, is_fake = self._logits(0.0)
        temperature, platt = fit_temperature(logits, is_fake), fit_platt(logits, is_fake)
        assert calibrate(np.zeros(1), temperature)[0] == 0.5
        assert temperature.slope == pytest.approx(platt.slope, rel=0.05)
