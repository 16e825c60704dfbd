"""Drift features: medians over the crops, counts, format; always finite."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepfakestream.scanning.features import FEATURE_NAMES, media_features


def features(n: int, *, duration_s: float | None = None, fps: float | None = None) -> dict[str, float]:
    values = np.arange(1, n + 1, dtype=np.float32)
    return media_features(
        face_px=values * 10, sharpness=values, luma=values + 100, score=values / 10,
        track_ids=[index % 2 for index in range(n)],
        width_px=640, height_px=480, duration_s=duration_s, fps=fps, size_bytes=76_800,
    )  # fmt: skip


def test_without_a_face_there_are_no_face_numbers() -> None:
    assert features(0) == {
        "num_faces": 0.0, "num_tracks": 0.0, "width_px": 640.0, "height_px": 480.0,
        "duration_s": 0.0, "fps": 0.0, "coded_bits_per_px": 2.0,
    }  # fmt: skip


def test_medians_counts_and_format() -> None:
    got = features(3, duration_s=2.5, fps=25.0)
    assert tuple(got) == FEATURE_NAMES
    assert got["face_px"] == 20.0
    assert got["luma"] == 102.0
    assert got["detector_score"] == pytest.approx(0.2)
    assert (got["num_faces"], got["num_tracks"], got["duration_s"], got["fps"]) == (3.0, 2.0, 2.5, 25.0)
    assert got["coded_bits_per_px"] == pytest.approx(2.0 / 62.5)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_a_missing_length_is_zero(missing: float | None) -> None:
    got = features(1, duration_s=missing, fps=missing)
    assert (got["duration_s"], got["fps"]) == (0.0, 0.0)
    assert all(type(value) is float and math.isfinite(value) for value in got.values())
