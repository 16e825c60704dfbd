from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from deepfakestream.model.aggregation import (
    MediaScore,
    aggregate,
    calibrate,
    deciding_frames,
    media_logit,
    track_quantiles,
)
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec, DetectorSpec


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


Score = Callable[..., MediaScore]


@pytest.fixture
def score(spec: DetectorSpec) -> Score:
    """Score logits and tracks with the calibration sigmoid(logit + 0.5)."""

    def _score(
        logits: list[float], tracks: list[int], *, frames: str = "mean", min_frames: int = 1
    ) -> MediaScore:
        changed = spec.model_copy(
            update={
                "aggregation": AggregationSpec.model_validate(
                    {"frames": frames, "tracks": "max", "min_track_frames": min_frames}
                ),
                "calibration": CalibrationSpec(slope=1.0, intercept=0.5),
            }
        )
        return aggregate(np.array(logits, dtype=np.float32), np.array(tracks, dtype=np.int64), changed)

    return _score


class TestCalibrate:
    @pytest.mark.parametrize(
        ("logit", "expected"), [(-1e9, 0.0), (0.0, _sigmoid(0.5)), (2.0, _sigmoid(4.5)), (1e9, 1.0)]
    )
    def test_by_hand(self, logit: float, expected: float) -> None:
        found = calibrate(np.array([logit]), CalibrationSpec(slope=2.0, intercept=0.5))
        assert found[0] == pytest.approx(expected, abs=1e-12)

    def test_empty(self) -> None:
        assert calibrate(np.empty(0), CalibrationSpec(slope=2.0, intercept=0.5)).shape == (0,)

    def test_keeps_the_order(self) -> None:
        logits = np.sort(np.random.default_rng(0).normal(0, 8, 200))
        assert (np.diff(calibrate(logits, CalibrationSpec(slope=0.7, intercept=-3.0))) >= 0).all()


class TestAggregate:
    def test_no_face_has_no_score(self, score: Score) -> None:
        with pytest.raises(ValueError, match="without faces has no score"):
            score([], [])

    def test_one_face(self, score: Score) -> None:
        found = score([1.5], [7])
        assert (found.logit, found.deciding_track, found.interval) == (1.5, 7, None)
        assert found.p_fake == pytest.approx(_sigmoid(2.0))
        assert found.track_p_fake == {7: found.p_fake}
        assert found.face_p_fake.tolist() == [found.p_fake]

    @pytest.mark.parametrize(
        ("frames", "logits", "expected"),
        [
            ("mean", [0.0, 1.0, 5.0], 2.0),
            ("median", [0.0, 1.0, 5.0], 1.0),
            ("trimmed_mean", [0.0, 1.0, 5.0], 2.0),  # too few to trim
            ("trimmed_mean", [-90.0, 1.0, 2.0, 3.0, 90.0], 2.0),
            ("median", [0.0, 1.0, 2.0, 9.0], 1.5),
            ("confident", [0.0, 1.0, 5.0], 3.0),
            ("confident", [-6.0, 1.0, 2.0, 4.0], -1.0),
        ],
    )
    def test_over_frames(self, score: Score, frames: str, logits: list[float], expected: float) -> None:
        assert score(logits, [0] * len(logits), frames=frames).logit == pytest.approx(expected)

    def test_learned_weights_belong_to_the_quantiles_of_the_frames(self) -> None:
        spec = AggregationSpec(
            frames="learned", tracks="max", min_track_frames=1, quantile_weights=(0.25, 0.25, 0.5)
        )
        assert media_logit(np.array([5.0, 0.0, 1.0]), np.zeros(3, np.int64), spec) == pytest.approx(2.75)
        quantiles = track_quantiles(np.array([[4.0, 0.0, 2.0], [1.0, 1.0, 1.0]]), 5)
        assert quantiles.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0], [1.0] * 5]

    def test_the_logit_alone_is_that_of_the_deciding_track(self, score: Score) -> None:
        logits, tracks = np.array([-2.0, 3.0, -4.0, 1.0]), np.array([0, 1, 0, 1])
        spec = AggregationSpec(frames="mean", tracks="max", min_track_frames=1)
        assert deciding_frames(logits, tracks, spec).tolist() == [3.0, 1.0]
        assert media_logit(logits, tracks, spec) == score(list(logits), list(tracks)).logit

    def test_one_swapped_person_is_enough(self, score: Score) -> None:
        found = score([-2.0, 3.0, -4.0, 1.0], [0, 1, 0, 1])
        assert (found.deciding_track, found.logit) == (1, 2.0)
        assert found.track_p_fake == {0: pytest.approx(_sigmoid(-2.5)), 1: pytest.approx(_sigmoid(2.5))}
        np.testing.assert_allclose(found.face_p_fake, [_sigmoid(x + 0.5) for x in (-2, 3, -4, 1)])

    @pytest.mark.parametrize(("min_frames", "deciding"), [(1, 5), (2, 0), (3, 0), (4, 5)])
    def test_short_tracks_decide_only_without_a_longer_one(
        self, score: Score, min_frames: int, deciding: int
    ) -> None:
        found = score([0.0, 0.0, 0.0, 9.0], [0, 0, 0, 5], min_frames=min_frames)
        assert found.deciding_track == deciding
        assert set(found.track_p_fake) == {0, 5}

    def test_equal_tracks_give_the_first(self, score: Score) -> None:
        assert score([1.0, 1.0], [4, 2]).deciding_track == 2

    def test_order_of_faces_does_not_matter(self, score: Score) -> None:
        logits, tracks = [0.1, 2.0, -1.0, 0.4], [0, 1, 0, 1]
        assert score(logits[::-1], tracks[::-1]).p_fake == pytest.approx(score(logits, tracks).p_fake)


class TestInterval:
    def test_equal_frames_leave_no_doubt(self, score: Score) -> None:
        found = score([1.0] * 5, [0] * 5)
        assert found.interval == (pytest.approx(found.p_fake), pytest.approx(found.p_fake))

    def test_holds_the_score_and_is_the_same_each_time(self, score: Score) -> None:
        logits = list(np.random.default_rng(1).normal(0.5, 1.0, 16))
        first, second = score(logits, [0] * 16), score(logits, [0] * 16)
        assert first.interval == second.interval
        assert first.interval[0] < first.p_fake < first.interval[1]

    def test_comes_from_the_deciding_track(self, score: Score) -> None:
        found = score([-9.0, 9.0, 3.0, 3.0], [0, 0, 1, 1])
        assert found.deciding_track == 1
        assert found.interval == (pytest.approx(found.p_fake), pytest.approx(found.p_fake))

    def test_more_frames_narrow_it(self, score: Score) -> None:
        rng = np.random.default_rng(2)
        widths = []
        for count in (4, 64):
            low, high = score(list(rng.normal(0, 1, count)), [0] * count).interval
            widths.append(high - low)
        assert widths[1] < widths[0]
