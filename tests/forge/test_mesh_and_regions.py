from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.masks import BLEND_RATIOS, blending_mask, elastic
from deepfakestream.forge.mesh import NUM_POINTS, FaceMesh, Points
from deepfakestream.forge.regions import REGION_KINDS, REGION_WEIGHTS, random_region, region
from deepfakestream.media.types import RGBImage

SIZE_PX = 160
NOSE_TIP, CHIN, FOREHEAD, RIGHT_EYE, LEFT_EYE = 1, 152, 10, 33, 263


class TestMesh:
    @pytest.mark.parametrize("kind", ["noise", "black", "white"])
    def test_nothing_in_a_picture_without_a_face(self, kind: str) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
        picture = {"noise": noise, "black": np.zeros_like(noise), "white": np.full_like(noise, 255)}[kind]
        assert FaceMesh().find(picture, crop_scale=1.0) is None

    def test_lies_on_the_face(self, points: Points) -> None:
        assert (points.shape, points.dtype) == ((NUM_POINTS, 2), np.float32)
        assert points.min() > -0.1 * SIZE_PX
        assert points.max() < 1.1 * SIZE_PX
        assert points[FOREHEAD, 1] < points[RIGHT_EYE, 1] < points[NOSE_TIP, 1] < points[CHIN, 1]
        assert points[RIGHT_EYE, 0] < points[NOSE_TIP, 0] < points[LEFT_EYE, 0]

    @pytest.mark.parametrize("scale", [0.85, 1.15, 1.4, 2.0, 3.0])
    def test_knows_how_the_crop_was_made(self, astronaut: RGBImage, points: Points, scale: float) -> None:
        """The same face in crops of other margins: its mesh differs by that scale about the centre alone."""
        crop = crop_face(astronaut, np.array((178.0, 58.0, 273.0, 178.0)), scale=scale, size_px=SIZE_PX)
        found = FaceMesh().find(crop, crop_scale=scale)
        assert found is not None
        back = (found - SIZE_PX / 2) * scale + SIZE_PX / 2
        assert np.abs(back - points).mean() < 0.04 * SIZE_PX


class TestRegions:
    @pytest.mark.parametrize("kind", REGION_KINDS)
    def test_is_a_part_of_the_face(self, points: Points, kind: str) -> None:
        mask = region(points, SIZE_PX, kind)
        assert (mask.shape, mask.dtype) == ((SIZE_PX, SIZE_PX), np.float32)
        assert set(np.unique(mask)) == {0.0, 1.0}
        assert 0.01 < mask.mean() < 0.9

    def test_no_such_region(self, points: Points) -> None:
        with pytest.raises(ValueError, match="'ear'"):
            region(points, SIZE_PX, "ear")

    def test_mesh_off_the_picture_gives_an_empty_mask(self, points: Points) -> None:
        assert region(points + 10 * SIZE_PX, SIZE_PX, "hull").sum() == 0

    def test_parts_lie_where_they_should(self, points: Points) -> None:
        masks = {kind: region(points, SIZE_PX, kind) for kind in REGION_KINDS}
        rows = np.arange(SIZE_PX)[:, None]
        height = {kind: float((mask * rows).sum() / mask.sum()) for kind, mask in masks.items()}
        assert height["eyes"] < height["hull"] < height["lower_half"] < height["mouth"]
        assert max(masks, key=lambda kind: masks[kind].sum()) == "hull"

    def test_draw_follows_the_weights(self, points: Points) -> None:
        assert sum(REGION_WEIGHTS) == pytest.approx(1.0)
        kind_of = {region(points, SIZE_PX, kind).tobytes(): kind for kind in REGION_KINDS}
        rng = np.random.default_rng(4)
        drawn = Counter(kind_of[random_region(points, SIZE_PX, rng).tobytes()] for _ in range(600))
        assert set(drawn) == set(REGION_KINDS)
        shares = [drawn[kind] / 600 for kind in REGION_KINDS]
        assert shares == pytest.approx(REGION_WEIGHTS, abs=0.06)

    def test_draw_follows_the_generator(self, points: Points) -> None:
        first = random_region(points, SIZE_PX, np.random.default_rng(4))
        assert np.array_equal(first, random_region(points, SIZE_PX, np.random.default_rng(4)))


class TestMasks:
    @pytest.mark.parametrize("kind", REGION_KINDS)
    def test_soft_within_bounds_and_never_empty(self, points: Points, kind: str) -> None:
        hard = region(points, SIZE_PX, kind)
        for seed in range(25):
            mask = blending_mask(hard, np.random.default_rng(seed))
            assert (mask.shape, mask.dtype) == (hard.shape, np.float32)
            assert mask.min() >= 0.0
            assert min(abs(float(mask.max()) - ratio) for ratio in BLEND_RATIOS) < 1e-5

    @pytest.mark.parametrize("size_px", [32, 64])
    def test_small_mouths_survive_erosion(self, points: Points, size_px: int) -> None:
        hard = region(points * (size_px / SIZE_PX), size_px, "mouth")
        for seed in range(25):
            assert blending_mask(hard, np.random.default_rng(seed)).max() > 0.2

    def test_empty_stays_empty(self) -> None:
        assert blending_mask(np.zeros((32, 32), np.float32), np.random.default_rng(0)).max() == 0

    def test_elastic_without_strength_changes_nothing(self, points: Points) -> None:
        hard = region(points, SIZE_PX, "hull")
        same = elastic(hard, np.random.default_rng(0), strength_px=0.0, cells=4)
        np.testing.assert_array_equal(same, hard)
