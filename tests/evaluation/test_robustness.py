from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from deepfakestream.evaluation.perturbations import Perturbation, perturbations
from deepfakestream.evaluation.robustness import empty_card, measure_robustness, sample_faces
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.spec import DetectorSpec, read_spec

FACE = np.ascontiguousarray(astronaut()[20:180, 140:300])
SPEC = read_spec(packaged_model_dir())


class LikesDetail:
    """A model whose logit is the picture's fine detail: what smooths a picture lowers it."""

    spec: DetectorSpec = SPEC

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        detail = [cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std() for crop in crops]
        return np.array(detail, dtype=np.float32) / 10.0 - 3.0


def _faces(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "crop_id": [f"m{i}:0:0" for i in range(n)],
            "media_id": [f"m{i}" for i in range(n)],
            "label": ["fake" if i % 2 else "real" for i in range(n)],
            "group_id": [f"g{i // 2}" for i in range(n)],
            "shard": "shard-00000.arrow",
            "row": range(n),
        }
    )


def _images(n: int) -> list[NDArray[np.uint8]]:
    """Reals are a little smoother than fakes; contrast, alike in both, makes the classes overlap."""
    smooth = cv2.GaussianBlur(FACE, (0, 0), 0.5)
    contrasts = np.linspace(0.4, 1.0, n // 2).repeat(2)
    return [
        np.roll(cv2.convertScaleAbs(FACE if i % 2 else smooth, alpha=contrast), i, axis=1)
        for i, contrast in enumerate(contrasts)
    ]


@pytest.mark.parametrize("each", perturbations(), ids=lambda each: f"{each.kind} {each.level}")
def test_each_changes_the_picture_and_keeps_its_shape(each: Perturbation) -> None:
    changed = each.change(FACE, np.random.default_rng(0))
    assert changed.shape == FACE.shape
    assert changed.dtype == np.uint8
    difference = float(np.abs(changed.astype(float) - FACE).mean())
    assert 0.3 < difference < 30.0


def test_levels_go_from_mild_to_harsh() -> None:
    errors: dict[str, list[float]] = {}
    for each in perturbations():
        changed = each.change(FACE, np.random.default_rng(0))
        errors.setdefault(each.kind, []).append(float(np.abs(changed.astype(float) - FACE).mean()))
    for kind, found in errors.items():
        assert found == sorted(found), kind
    assert len(errors) == 7


def test_card_finds_what_hurts() -> None:
    n = 24
    card = measure_robustness(_faces(n), _images(n), LikesDetail(), threshold=0.5, num_bootstrap=40, seed=0)
    assert (card.status, card.n_real, card.n_fake) == ("ok", 12, 12)
    assert card.auc is not None
    assert 0.7 < card.auc < 1.0
    found = {(each.kind, each.level): each for each in card.conditions}
    for each in card.conditions:
        assert each.auc is not None
        assert each.auc_change.value == pytest.approx(each.auc - card.auc)
    blur = found["blur sigma", "3 px"]
    assert blur.fake_p_fake_change is not None
    assert blur.fake_p_fake_change < -0.1
    assert blur.auc_change.value is not None
    assert blur.auc_change.value < -0.1  # no detail is left that could tell them apart
    jpeg = found["JPEG quality", "90"]
    assert jpeg.auc_change.value is not None
    assert abs(jpeg.auc_change.value) < 0.05
    noise = found["noise sigma", "16"]
    assert noise.real_p_fake_change is not None
    assert noise.real_p_fake_change > 0.1  # noise looks like detail


def test_same_seed_gives_the_same_card() -> None:
    cards = [
        measure_robustness(_faces(12), _images(12), LikesDetail(), threshold=0.5, num_bootstrap=5, seed=3)
        for _ in range(2)
    ]
    assert cards[0] == cards[1]


def test_too_few_of_a_class() -> None:
    card = measure_robustness(_faces(8), _images(8), LikesDetail(), threshold=0.5, num_bootstrap=5, seed=0)
    assert card == empty_card("insufficient", threshold=0.5, n_real=4, n_fake=4)


class TestSample:
    def test_half_of_each_class_and_one_a_file(self) -> None:
        faces = pd.concat([_faces(100), _faces(100).assign(crop_id=lambda rows: rows["crop_id"] + "b")])
        found = sample_faces(faces, num_faces=30, seed=0)
        assert found["label"].value_counts().to_dict() == {"real": 15, "fake": 15}
        assert found["media_id"].is_unique

    def test_order_of_rows_does_not_matter(self) -> None:
        faces = _faces(60)
        again = sample_faces(faces.sample(frac=1, random_state=1), num_faces=20, seed=0)
        pd.testing.assert_frame_equal(sample_faces(faces, num_faces=20, seed=0), again)

    @pytest.mark.parametrize("n", [0, 1, 6])
    def test_fewer_than_asked_for(self, n: int) -> None:
        assert len(sample_faces(_faces(n), num_faces=100, seed=0)) == n
