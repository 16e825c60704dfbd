from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.forge.mesh import Points
from deepfakestream.forge.partial import keep_part, line_up
from deepfakestream.forge.regions import region
from deepfakestream.media.types import RGBImage

SEEDS = range(12)


@pytest.fixture
def fake(face: RGBImage, points: Points) -> RGBImage:
    """The face with everything inside its outline 60 levels darker, cut from the same frame."""
    inside = region(points, face.shape[0], "hull")[..., None] > 0
    return np.where(inside, np.clip(face.astype(int) - 60, 0, 255), face).astype(np.uint8)


def test_every_pixel_lies_between_real_and_fake(face, fake, points):
    low, high = np.minimum(face, fake), np.maximum(face, fake)
    for seed in SEEDS:
        part = keep_part(face, fake, points, np.random.default_rng(seed))
        assert ((low <= part) & (part <= high)).all()


def test_parts_differ_in_outline_and_strength(face, fake, points):
    changed = {
        int((keep_part(face, fake, points, np.random.default_rng(seed)) != face).any(axis=2).sum())
        for seed in SEEDS
    }
    assert len(changed) > len(SEEDS) // 2
    assert min(changed) < 0.5 * (fake != face).any(axis=2).sum()


def test_same_draws_same_part(face, fake, points):
    one, other = (keep_part(face, fake, points, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


def test_a_fake_cut_otherwise_stays_whole(face, fake, points):
    moved = np.roll(fake, 30, axis=1)
    assert line_up(face, fake)
    assert not line_up(face, moved)
    assert np.array_equal(keep_part(face, moved, points, np.random.default_rng(0)), moved)


def test_a_part_that_would_not_show_gives_way_to_the_fake(face, points):
    faint = np.clip(face.astype(int) + 3, 0, 255).astype(np.uint8)
    for seed in SEEDS:
        assert np.array_equal(keep_part(face, faint, points, np.random.default_rng(seed)), faint)
