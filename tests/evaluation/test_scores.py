from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from deepfakestream.errors import WeightsError
from deepfakestream.evaluation.scores import BATCH_SIZE, SLICE_COLUMNS, score_crops, score_faces, score_media
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.model.embedding import EMBEDDING_SIZE, from_bytes
from deepfakestream.model.scorer import FaceScores
from deepfakestream.model.spec import (
    AggregationSpec,
    CalibrationSpec,
    DetectorSpec,
    NetworkSpec,
    NormalisationSpec,
)
from deepfakestream.scanning.features import FEATURE_NAMES

SPEC = DetectorSpec(
    network=NetworkSpec(variant="rgb", backbone="none", global_pool="avg", drop_rate=0.0),
    normalisation=NormalisationSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    extraction=ExtractionSpec(
        detector="retinaface_mnet025",
        num_frames=4,
        min_face_px=4,
        min_score=0.5,
        max_faces_per_frame=4,
        crop_scale=1.0,
        crop_size_px=2,
    ),
    aggregation=AggregationSpec(frames="mean", tracks="max", min_track_frames=1),
    calibration=CalibrationSpec(slope=1.0, intercept=0.0),
    operating_points={},
    trained_on="nothing",
)


class FirstPixel:
    """A model whose logit is the first pixel; notes the batches it got."""

    spec = SPEC

    def __init__(self, *, broken: bool = False) -> None:
        self.batches: list[int] = []
        self._broken = broken

    def scores(self, crops: NDArray[np.uint8]) -> FaceScores:
        self.batches.append(len(crops))
        found: NDArray[np.float32] = crops[:, 0, 0, 0].astype(np.float32)
        embeddings = np.repeat(found[:, None], EMBEDDING_SIZE, axis=1)
        return FaceScores(found * np.float32("nan") if self._broken else found, embeddings)


def _images(n: int) -> list[NDArray[np.uint8]]:
    return [np.full((2, 2, 3), i % 256, dtype=np.uint8) for i in range(n)]


def _media(*media_ids: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "media_id": media_ids,
            "label": "fake",
            "manipulation": "swap",
            "group_id": "g",
            "source": "s",
            "original_name": "o",
            "kind": "image",
            "size_bytes": 1000,
            "width_px": 640,
            "height_px": 480,
            "duration_s": np.nan,
            "fps": np.nan,
        }
    )


def _crops(*rows: tuple[str, int]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["media_id", "track_id"])
    return table.assign(face_px=50.0, sharpness=9.0, luma=100.0, score=0.9)


@pytest.mark.parametrize(
    ("n", "batches"), [(0, []), (1, [1]), (BATCH_SIZE, [BATCH_SIZE]), (BATCH_SIZE + 1, [BATCH_SIZE, 1])]
)
def test_batches(n: int, batches: list[int]) -> None:
    scorer = FirstPixel()
    scores = score_crops(scorer, iter(_images(n)), total=n, description="x")
    assert scorer.batches == batches
    assert scores.logits.tolist() == [float(i) for i in range(n)]
    if n:
        assert scores.embeddings is not None
        assert scores.embeddings[:, 0].tolist() == scores.logits.tolist()


def test_a_score_that_is_no_number_is_an_error_not_a_file_without_face() -> None:
    with pytest.raises(WeightsError, match="not a number"):
        score_crops(FirstPixel(broken=True), iter(_images(2)), total=2, description="x")


def test_no_items() -> None:
    found = score_media(_media(), _crops(), np.empty(0, np.float32), SPEC)
    assert len(found) == 0
    assert {"p_fake", *FEATURE_NAMES} <= set(found)


def test_file_without_face_is_there_without_score() -> None:
    found = score_media(_media("b", "a"), _crops(("a", 0)), np.array([0.0], np.float32), SPEC)
    assert found["media_id"].tolist() == ["a", "b"]
    assert found["p_fake"][0] == 0.5
    assert np.isnan(found["p_fake"][1])
    assert found["num_faces"].tolist() == [1.0, 0.0]
    assert np.isnan(found["face_px"][1])


def test_aggregates_over_frames_then_tracks() -> None:
    crops = _crops(("a", 0), ("a", 0), ("a", 1), ("b", 0))
    found = score_media(_media("a", "b"), crops, np.array([-1.0, -3.0, 2.0, 1.0], np.float32), SPEC)
    assert found["logit"].tolist() == [2.0, 1.0]
    assert found["num_tracks"].tolist() == [2.0, 1.0]
    assert found["duration_s"].tolist() == [0.0, 0.0]


def test_the_embedding_of_a_file_is_the_mean_over_its_faces() -> None:
    rows = [np.full(EMBEDDING_SIZE, value, np.float32) for value in (1.0, 2.0, 5.0)]
    crops = _crops(("a", 0), ("a", 1), ("b", 0)).assign(embedding=rows)
    found = score_media(_media("a", "b", "c"), crops, np.zeros(3, np.float32), SPEC)
    assert [from_bytes(content)[0] for content in found["embedding"][:2]] == [1.5, 5.0]
    assert found["embedding"][2] is None
    without = score_media(_media("a"), _crops(("a", 0)), np.zeros(1, np.float32), SPEC)
    assert without["embedding"][0] is None


def test_what_slices_need_comes_from_file_and_faces() -> None:
    media = _media("a", "b").assign(
        codec=["h264", None], jpeg_quality=[np.nan, 80], size_bytes=[1_000_000, 10], duration_s=[2.0, np.nan]
    )
    media["fps"] = [25.0, np.nan]
    crops = _crops(("a", 0), ("a", 0), ("a", 0), ("b", 0)).assign(
        ita_deg=[10.0, 20.0, np.nan, np.nan], yaw_deg=[-40.0, 30.0, 20.0, np.nan]
    )
    found = score_media(media, crops, np.zeros(4, np.float32), SPEC).set_index("media_id")
    assert found.loc["a", "bits_per_px"] == pytest.approx(8e6 / (2.0 * 25.0 * 640 * 480))
    assert found.loc["a", ["ita_deg", "abs_yaw_deg"]].tolist() == [15.0, 30.0]
    assert found.loc["b", "jpeg_quality"] == 80.0
    assert found.loc["b", ["bits_per_px", "ita_deg", "abs_yaw_deg"]].isna().all()
    assert found.loc["a", "codec"] == "h264"


def test_slice_columns_may_be_missing() -> None:
    found = score_media(_media("a"), _crops(("a", 0)), np.zeros(1, np.float32), SPEC)
    assert found[list(SLICE_COLUMNS)].isna().all(axis=None)


def test_single_faces_are_calibrated_as_files_are() -> None:
    crops = _crops(("a", 0), ("a", 0)).assign(crop_id=["a:0:0", "a:1:0"], label="fake", group_id="g")
    found = score_faces(crops, np.array([0.0, 2.0], np.float32), SPEC)
    assert found["p_fake"].tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2.0))])
    assert found["crop_id"].tolist() == ["a:0:0", "a:1:0"]
