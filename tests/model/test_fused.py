"""The accurate detector: standardised logits of the network and the tower, averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from face_crops import face_crop
from numpy.typing import NDArray

from deepfakestream.errors import WeightsError
from deepfakestream.faces.types import FaceCrop
from deepfakestream.model.fused import FusedScorer, tower_to_use
from deepfakestream.model.scorer import FaceScorer, ModelInfo, Outputs
from deepfakestream.model.spec import (
    CalibrationSpec,
    ExpertSpec,
    OperatingPoint,
    Standardisation,
    write_spec,
)
from deepfakestream.model.tower.sources import tower_path

from .conftest import make_spec

SIZE_PX = 32
POINT = OperatingPoint(threshold=0.5, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="")
EXPERT = ExpertSpec(
    tower="a tower",
    wide_scale=1.2,
    max_faces=3,
    network_weight=0.25,
    network_logits=Standardisation(mean=100.0, std=10.0),
    tower_logits=Standardisation(mean=50.0, std=2.0),
    calibration=CalibrationSpec(slope=2.0, intercept=0.0),
    operating_points={"balanced": POINT},
    tuned_on="nothing",
)


def mean_pixel(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return pixels.mean(axis=(1, 2, 3))


@pytest.fixture
def fused() -> FusedScorer:
    spec = make_spec(size_px=SIZE_PX)
    info = ModelInfo(name="stand-in", version="1", weights_sha256="00")
    return FusedScorer(
        fast=FaceScorer(spec=spec, info=info, runtime=lambda pixels: Outputs(mean_pixel(pixels))),
        tower=mean_pixel,
        spec=spec,
        info=info,
        expert=EXPERT,
        tower_file=Path("tower"),
    )


def face(narrow: int, wide: int | None, *, track_id: int = 0) -> FaceCrop:
    def grey(value: int) -> NDArray[np.uint8]:
        return np.full((SIZE_PX, SIZE_PX, 3), value, np.uint8)

    return face_crop(grey(narrow), wide_rgb=None if wide is None else grey(wide), track_id=track_id)


def test_a_logit_is_the_weighted_mean_of_standardised_ones(fused):
    found = fused.face_scores([face(120, 54), face(90, 50)]).logits
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0.25 * 2 + 0.75 * 2, 0.25 * -1 + 0.75 * 0], rtol=1e-6)


def test_the_tower_scores_three_faces_of_a_track_and_interpolates_between(fused):
    seen: list[int] = []

    def counting(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.extend(mean_pixel(pixels).round().astype(int).tolist())
        return mean_pixel(pixels)

    scorer = replace(fused, tower=counting)
    # The second track's faces lie between those of the first, as two people in one film do.
    first, second = [50, 200, 54, 200, 58], [60, 70]
    crops = [face(100, value, track_id=0) for value in first]
    crops[1:1] = [face(100, value, track_id=1) for value in second]
    found = scorer.face_scores(crops).logits
    assert sorted(seen) == [50, 54, 58, 60, 70], "of five faces the first, the middle and the last"
    tower = found / 0.75 * EXPERT.tower_logits.std + EXPERT.tower_logits.mean
    np.testing.assert_allclose(tower, [50, 60, 70, 52, 54, 56, 58], rtol=1e-5)


def test_no_face_has_no_logit(fused):
    assert fused.face_scores([]).logits.shape == (0,)


def test_a_face_without_its_wide_crop_is_refused(fused):
    with pytest.raises(ValueError, match="wide"):
        fused.face_scores([face(100, 50), face(100, None)])


class TestChoice:
    """Which detector answers: what was asked for, what the model has and whether the tower was fetched."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> dict[bool, Path]:
        folders = {}
        for has_expert in (False, True):
            spec = make_spec(size_px=SIZE_PX).model_copy(update={"expert": EXPERT if has_expert else None})
            folders[has_expert] = tmp_path / f"expert-{has_expert}"
            folders[has_expert].mkdir()
            write_spec(spec, folders[has_expert])
        return folders

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        tower_path(tmp_path).parent.mkdir(parents=True)
        tower_path(tmp_path).write_bytes(b"a tower")
        return tmp_path

    def test_fast_never_takes_the_tower(self, folders, cache):
        assert tower_to_use(folders[True], "fast", cache) is None

    @pytest.mark.parametrize("choice", ["auto", "accurate"])
    def test_the_tower_is_taken_where_it_is_there(self, choice, folders, cache):
        assert tower_to_use(folders[True], choice, cache) == tower_path(cache)

    @pytest.mark.parametrize("choice", ["auto", "fast"])
    def test_a_model_that_is_a_tower_takes_it_from_the_cache_folder(self, choice, tmp_path):
        spec = make_spec(size_px=SIZE_PX)
        network = spec.network.model_copy(update={"variant": "tower"})
        write_spec(spec.model_copy(update={"network": network}), tmp_path)
        assert tower_to_use(tmp_path, choice, tmp_path / "cache") == tower_path(tmp_path / "cache")

    def test_auto_is_fast_without_tower_or_expert(self, folders, cache, tmp_path):
        assert tower_to_use(folders[True], "auto", tmp_path / "empty") is None
        assert tower_to_use(folders[False], "auto", cache) is None

    def test_accurate_says_what_is_missing(self, folders, cache, tmp_path):
        with pytest.raises(WeightsError, match="model fetch accurate"):
            tower_to_use(folders[True], "accurate", tmp_path / "empty")
        with pytest.raises(WeightsError, match="--model fast"):
            tower_to_use(folders[False], "accurate", cache)
