from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.forge.artifacts import (
    colour_shift,
    foreign_coding,
    leave_traces,
    lost_detail,
    noise,
    sharpened,
    smoothed,
    upsampling_grid,
)
from deepfakestream.forge.degrade import h264, video_world
from deepfakestream.forge.mesh import Points
from deepfakestream.forge.self_blend import Forgery, blend, self_blend
from deepfakestream.forge.swap import _affine_map, pose_distance, swap_face
from deepfakestream.media.types import RGBImage

SEEDS = range(12)
TRACES = [
    colour_shift,
    foreign_coding,
    leave_traces,
    lost_detail,
    noise,
    sharpened,
    smoothed,
    upsampling_grid,
]


def _difference(a: RGBImage, b: RGBImage) -> np.ndarray:
    return np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=2)


def _check_forgery(forgery: Forgery, face: RGBImage) -> None:
    for picture in (forgery.real, forgery.fake):
        assert (picture.shape, picture.dtype) == (face.shape, np.uint8)
    assert forgery.mask.shape == face.shape[:2]
    assert 0.0 <= forgery.mask.min() <= forgery.mask.max() <= 1.0
    assert _difference(forgery.real, forgery.fake)[forgery.mask > 0].max() > 0


class TestBlend:
    @pytest.mark.parametrize(("weight", "expected"), [(0.0, 200), (0.25, 175), (0.5, 150), (1.0, 100)])
    def test_by_hand(self, weight: float, expected: int) -> None:
        source, target = np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 200, np.uint8)
        assert (blend(source, target, np.full((4, 4), weight, np.float32)) == expected).all()


class TestSelfBlend:
    def test_differs_from_its_real_inside_the_mask_only(self, face: RGBImage, points: Points) -> None:
        for seed in SEEDS:
            forgery = self_blend(face, points, np.random.default_rng(seed))
            _check_forgery(forgery, face)
            assert _difference(forgery.real, forgery.fake)[forgery.mask == 0].max() == 0

    def test_both_sides_of_the_blend_are_altered_in_turn(self, face: RGBImage, points: Points) -> None:
        untouched = [
            np.array_equal(self_blend(face, points, np.random.default_rng(seed)).real, face)
            for seed in range(40)
        ]
        assert 8 <= sum(untouched) <= 32

    def test_follows_the_generator_alone(self, face: RGBImage, points: Points) -> None:
        first, again, other = (self_blend(face, points, np.random.default_rng(seed)) for seed in (5, 5, 6))
        assert np.array_equal(first.fake, again.fake)
        assert np.array_equal(first.real, again.real)
        assert not np.array_equal(first.fake, other.fake)

    def test_leaves_its_input_alone(self, face: RGBImage, points: Points) -> None:
        before = face.copy(), points.copy()
        self_blend(face, points, np.random.default_rng(0))
        assert np.array_equal(face, before[0])
        assert np.array_equal(points, before[1])


class TestSwap:
    def test_changes_the_face_only(
        self, face: RGBImage, points: Points, other_face: RGBImage, other_points: Points
    ) -> None:
        for seed in SEEDS:
            forgery = swap_face(face, points, other_face, other_points, np.random.default_rng(seed))
            _check_forgery(forgery, face)
            assert np.array_equal(forgery.real, face)
            rows, columns = np.nonzero(forgery.mask)
            outside = np.ones(face.shape[:2], bool)
            outside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = False
            if set(np.unique(forgery.mask)) - {0.0, 1.0}:
                outside = forgery.mask == 0  # only gradient blending reaches into the mask's surroundings
            assert _difference(forgery.real, forgery.fake)[outside].max() == 0

    def test_follows_the_generator_alone(
        self, face: RGBImage, points: Points, other_face: RGBImage, other_points: Points
    ) -> None:
        made = [
            swap_face(face, points, other_face, other_points, np.random.default_rng(s)) for s in (3, 3, 4)
        ]
        assert np.array_equal(made[0].fake, made[1].fake)
        assert not np.array_equal(made[0].fake, made[2].fake)

    def test_a_flat_donor_shows_up(self, face: RGBImage, points: Points) -> None:
        flat = np.full_like(face, 128)
        forgery = swap_face(face, points, flat, points, np.random.default_rng(1))
        core = forgery.mask > 0.9
        assert forgery.fake[core].std() < face[core].std()


class TestAffineMap:
    def test_is_the_least_squares_fit(self, points: Points, other_points: Points) -> None:
        grid = np.random.default_rng(0).uniform(0, 160, (5, 4, 2)).astype(np.float32)
        homogeneous = np.column_stack([points, np.ones(len(points))]).astype(np.float64)
        matrix = np.linalg.lstsq(homogeneous, other_points.astype(np.float64), rcond=None)[0]
        expected = grid @ matrix[:2] + matrix[2]
        np.testing.assert_allclose(_affine_map(other_points, points, grid), expected, atol=1e-2)

    def test_of_a_face_to_itself_changes_nothing(self, points: Points) -> None:
        np.testing.assert_allclose(_affine_map(points, points, points), points, atol=1e-3)


class TestPoseDistance:
    def test_zero_for_itself_moved_and_scaled(self, points: Points) -> None:
        others = np.stack([points, points + 40.0, points * 1.7])
        np.testing.assert_allclose(pose_distance(points, others), 0.0, atol=1e-4)

    def test_grows_with_the_turn(self, points: Points) -> None:
        squeezed = [points * np.array([width, 1.0], np.float32) for width in (1.0, 0.8, 0.5)]
        assert (np.diff(pose_distance(points, np.stack(squeezed))) > 0).all()

    def test_nobody_to_compare_with(self, points: Points) -> None:
        assert pose_distance(points, np.empty((0, 468, 2), np.float32)).shape == (0,)


class TestH264:
    @pytest.mark.parametrize("shift_px", [(0, 0), (2, -1)])
    def test_error_grows_with_the_rate_factor(self, face: RGBImage, shift_px: tuple[int, int]) -> None:
        errors = [
            float(((h264(face, crf=crf, shift_px=shift_px).astype(float) - face) ** 2).mean())
            for crf in (10, 23, 35, 45)
        ]
        assert errors == sorted(errors)
        assert errors[0] < 20 < errors[-1]

    @pytest.mark.parametrize("shape", [(16, 16), (33, 48), (48, 33), (51, 51)])
    def test_keeps_the_shape_odd_sizes_too(self, face: RGBImage, shape: tuple[int, int]) -> None:
        part = np.ascontiguousarray(face[: shape[0], : shape[1]])
        coded = h264(part, crf=20, shift_px=(1, 1))
        assert (coded.shape, coded.dtype) == (part.shape, np.uint8)

    @pytest.mark.parametrize("size_px", [8, 63, 160, 300])
    def test_video_world_keeps_the_size(self, face: RGBImage, size_px: int) -> None:
        square = np.ascontiguousarray(np.resize(face, (size_px, size_px, 3)))
        first, again = (video_world(square, np.random.default_rng(2)) for _ in range(2))
        assert (first.shape, first.dtype) == (square.shape, np.uint8)
        assert np.array_equal(first, again)


class TestTraces:
    @pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
    def test_keeps_shape_and_changes_a_little(self, face: RGBImage, trace) -> None:  # type: ignore[no-untyped-def]
        before = face.copy()
        for seed in range(6):
            altered = trace(face, np.random.default_rng(seed))
            assert (altered.shape, altered.dtype) == (face.shape, np.uint8)
            assert 0.0 < float(np.abs(altered.astype(float) - face).mean()) < 60.0
        assert np.array_equal(face, before)

    @pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.__name__)
    def test_odd_size(self, face: RGBImage, trace) -> None:  # type: ignore[no-untyped-def]
        odd = np.ascontiguousarray(face[:45, :45])
        assert trace(odd, np.random.default_rng(0)).shape == odd.shape
