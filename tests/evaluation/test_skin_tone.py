from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb

from deepfakestream.evaluation.skin_tone import ita_deg


def _skin(lightness: float, b: float, *, size_px: int = 32) -> np.ndarray:
    lab = np.zeros((size_px, size_px, 3))
    lab[...] = (lightness, 12.0, b)
    return np.rint(255 * lab2rgb(lab)).astype(np.uint8)


@pytest.mark.parametrize(
    ("lightness", "b", "expected"),
    [(50.0, 15.0, 0.0), (65.0, 15.0, 45.0), (35.0, 15.0, -45.0), (75.0, 14.4338, 60.0)],
)
def test_by_hand(lightness: float, b: float, expected: float) -> None:
    """Patches made by another implementation of CIELAB, rounded to bytes."""
    assert ita_deg(_skin(lightness, b)) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("rgb", [(128, 128, 128), (0, 0, 0), (255, 255, 255), (40, 60, 200)])
def test_what_has_no_skin_colour_has_no_angle(rgb: tuple[int, int, int]) -> None:
    assert np.isnan(ita_deg(np.full((16, 16, 3), rgb, dtype=np.uint8)))


def test_only_the_middle_counts() -> None:
    crop = _skin(65.0, 15.0)
    crop[:12] = 0  # hair
    crop[-8:] = 255  # collar
    assert ita_deg(crop) == pytest.approx(45.0, abs=1.5)


def test_tiny_pictures_do_not_fail() -> None:
    assert np.isnan(ita_deg(np.zeros((2, 2, 3), dtype=np.uint8)))
