from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.picture import find_face, forge_picture


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh()


def test_an_empty_picture_has_nothing_to_forge(detector, mesh):
    grey = np.full((240, 320, 3), 127, dtype=np.uint8)
    assert find_face(grey, detector, mesh) is None
    assert forge_picture(grey, detector, mesh, np.random.default_rng(0), "self_blend") is None


def test_a_swap_needs_a_donor(astronaut, detector, mesh):
    with pytest.raises(ValueError, match="donor"):
        forge_picture(astronaut, detector, mesh, np.random.default_rng(0), "swap")


def box_around(mask):
    rows, columns = np.nonzero(mask)
    box = np.zeros(mask.shape, bool)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return box


@pytest.mark.parametrize(
    ("kind", "seed", "region_of"),
    [
        ("self_blend", 3, lambda mask: mask > 0),
        ("swap", 3, lambda mask: mask > 0),
        ("swap", 2, box_around),  # gradients are blended: colours settle around the mask too
    ],
    ids=["self_blend", "swap", "swap of gradients"],
)
@pytest.mark.parametrize("crop", [slice(0, 512), slice(90, 300)], ids=["whole", "cut at the border"])
def test_only_the_face_changes(kind, seed, region_of, crop, astronaut, detector, mesh):
    picture = np.ascontiguousarray(astronaut[:400, crop])
    donor = find_face(np.ascontiguousarray(astronaut[:, ::-1]), detector, mesh)
    forged = forge_picture(picture, detector, mesh, np.random.default_rng(seed), kind, donor)
    assert forged is not None
    assert forged.fake.shape == picture.shape
    assert forged.mask.shape == picture.shape[:2]
    np.testing.assert_array_equal(forged.real, picture)
    changed = (forged.fake != picture).any(axis=2)
    assert changed.any()
    assert not changed[~region_of(forged.mask)].any()
    rows, columns = np.nonzero(changed)
    assert rows.min() > 30
    assert rows.max() < 220
    assert columns.max() - columns.min() < 170


def test_the_same_seed_forges_alike(astronaut, detector, mesh):
    first, second = (
        forge_picture(astronaut, detector, mesh, np.random.default_rng(5), "self_blend") for _ in range(2)
    )
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.fake, second.fake)
