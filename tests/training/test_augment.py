from __future__ import annotations

import numpy as np
import pytest

from deepfakestream.training.augment import Smooth

WITH_NOISE = 6.0


@pytest.fixture
def half_dark_half_light() -> np.ndarray:
    """Two flat fields with an edge between them, under noise of `WITH_NOISE` levels."""
    picture = np.full((64, 64, 3), 70.0)
    picture[:, 32:] = 180.0
    noise = np.random.default_rng(0).normal(0.0, WITH_NOISE, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


class TestSmooth:
    def test_flattens_fields_and_keeps_edges(self, half_dark_half_light: np.ndarray) -> None:
        smooth = Smooth().apply(half_dark_half_light, sigma_colour=40.0, sigma_space_px=4.0)
        assert smooth[:, :24].std() < 0.4 * half_dark_half_light[:, :24].std()
        step = smooth[:, 32].mean() - smooth[:, 31].mean()
        assert step == pytest.approx(110.0, abs=3.0)

    def test_gentle_settings_leave_more_grain(self, half_dark_half_light: np.ndarray) -> None:
        gentle, strong = (
            Smooth().apply(half_dark_half_light, sigma_colour=sigma, sigma_space_px=4.0)[:, :24].std()
            for sigma in (10.0, 45.0)
        )
        assert strong < 0.6 * gentle
