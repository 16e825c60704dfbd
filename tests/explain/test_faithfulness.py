from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepfakestream.explain.face import ATTENTION, FaceMap, correlation
from deepfakestream.explain.face_region import energy_inside, enlarged, face_region
from deepfakestream.explain.faithfulness import NUM_RANDOM, Curves, Faithfulness, FaithfulnessTest
from deepfakestream.explain.figure import map_title, scale_labels
from deepfakestream.faces.crop import crop_face
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.forge.mesh import FaceMesh

SIZE = 80
CELLS = 5


def checkerboard():
    """A picture whose detail is everywhere, so that blurring shows everywhere."""
    rows, columns = np.indices((SIZE, SIZE)) // 2
    return np.repeat((((rows + columns) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)


def detail_in_the_corner(crops):
    """A detector that looks at the upper left cells only: p_fake is how much contrast is left there."""
    part = crops[:, : 2 * SIZE // CELLS, : 2 * SIZE // CELLS].astype(np.float64)
    return part.std(axis=(1, 2, 3)) / 127.5


def corner(value=1.0):
    cells = np.zeros((CELLS, CELLS), np.float32)
    cells[:2, :2] = value
    return cells


def test_a_map_of_what_the_detector_uses_beats_every_random_map():
    outcome = FaithfulnessTest(checkerboard(), detail_in_the_corner).judge(corner())
    assert outcome.is_faithful
    assert outcome.curves.deletion_auc < outcome.random_deletion_auc - 0.1
    assert outcome.curves.insertion_auc > outcome.random_insertion_auc + 0.1


@pytest.mark.parametrize(
    "cells", [corner(-1.0), np.ones((CELLS, CELLS), np.float32)], ids=["opposite", "flat"]
)
def test_a_map_of_something_else_is_not_faithful(cells):
    outcome = FaithfulnessTest(checkerboard(), detail_in_the_corner).judge(cells)
    assert not outcome.is_faithful
    assert outcome.describe().startswith("NOT faithful")


def test_no_map_of_a_constant_detector_is_faithful():
    outcome = FaithfulnessTest(checkerboard(), lambda crops: np.full(len(crops), 0.5)).judge(corner())
    assert outcome.num_beaten == 0
    assert outcome.curves == Curves(deletion_auc=pytest.approx(0.5), insertion_auc=pytest.approx(0.5))


def test_random_maps_are_faithful_about_as_rarely_as_promised():
    test = FaithfulnessTest(checkerboard(), detail_in_the_corner)
    rng = np.random.default_rng(99)
    passed = [
        test.judge(rng.standard_normal((CELLS, CELLS)).astype(np.float32)).is_faithful for _ in range(40)
    ]
    assert np.mean(passed) <= 0.2


def test_a_detector_of_how_much_is_left_gives_the_straight_line():
    picture = checkerboard()

    def share_untouched(crops):
        return (crops == picture).all(axis=-1).mean(axis=(1, 2))

    curves = FaithfulnessTest(picture, share_untouched).curves(corner())
    assert curves.deletion_auc == pytest.approx(0.5, abs=0.02)
    assert curves.insertion_auc == pytest.approx(0.5, abs=0.02)


MASK = np.zeros((SIZE, SIZE), bool)
MASK[:, : SIZE // 2] = True


@pytest.mark.parametrize(
    ("cells", "share"),
    [
        (np.zeros((2, 2), np.float32), None),
        (np.full((2, 2), -1.0, np.float32), None),
        (np.ones((2, 2), np.float32), 0.5),
        (np.array([[1, 0], [1, 0]], np.float32), 0.875),
        (np.array([[1, -9], [1, -9]], np.float32), 1.0),
    ],
)
def test_energy_inside_counts_evidence_for_a_fake_only(cells, share):
    found = energy_inside(cells, MASK)
    assert found is None if share is None else found == pytest.approx(share, abs=0.02)


def test_enlarged_keeps_the_range():
    cells = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
    bigger = enlarged(cells, SIZE)
    assert bigger.shape == (SIZE, SIZE)
    assert cells.min() <= bigger.min() < bigger.max() <= cells.max()


BOX = (178.0, 58.0, 273.0, 178.0)


class BlindMesh(FaceMesh):
    def __init__(self) -> None:
        pass

    def find(self, crop, *, crop_scale):
        return None


@pytest.mark.parametrize("scale", [0.85, 1.3])
def test_without_a_mesh_the_box_says_where_the_face_is(scale, astronaut, extraction_spec: ExtractionSpec):
    spec = replace(extraction_spec, crop_scale=scale, crop_size_px=160)
    crop = crop_face(astronaut, BOX, scale=scale, size_px=160, shift_y=spec.crop_shift_y)
    by_mesh, from_mesh = face_region(crop, BOX, spec, FaceMesh())
    by_box, from_box = face_region(crop, BOX, spec, BlindMesh())
    assert (from_mesh, from_box) == ("mesh", "box")
    overlap = (by_mesh & by_box).sum() / (by_mesh | by_box).sum()
    assert overlap > 0.75


def a_map(num_beaten, stability):
    test = Faithfulness(
        curves=Curves(deletion_auc=0.2, insertion_auc=0.6),
        random_deletion_auc=0.4, random_insertion_auc=0.4, num_beaten=num_beaten, num_random=NUM_RANDOM,
    )  # fmt: skip
    return FaceMap(
        method="Grad-CAM", stream="srm", rgb=checkerboard(), cells=np.eye(2, dtype=np.float32),
        energy_inside_face=0.7, faithfulness=test, jpeg_stability=stability,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("num_beaten", "stability", "words"),
    [
        (NUM_RANDOM, 0.9, []),
        (NUM_RANDOM - 1, 0.9, ["not faithful"]),
        (NUM_RANDOM, 0.2, ["not stable"]),
        (NUM_RANDOM, None, ["not stable"]),
        (0, -1.0, ["not faithful", "not stable"]),
    ],
)
def test_a_map_warns_in_words(num_beaten, stability, words):
    warnings = a_map(num_beaten, stability).warnings
    assert len(warnings) == len(words)
    for warning, word in zip(warnings, words, strict=True):
        assert word in warning
        assert "Grad-CAM of 'srm'" in warning


def test_attention_is_not_called_evidence_for_a_fake():
    signed = a_map(NUM_RANDOM, 0.9)
    assert map_title(signed).endswith("70% of fake evidence on the face; JPEG 0.90")
    assert scale_labels(signed) == ["real ≤ -1", "0", "fake ≥ 1"]
    attention = replace(signed, method=ATTENTION)
    assert map_title(attention).endswith("70% of the attention on the face; JPEG 0.90")
    assert scale_labels(attention) == ["", "0", "weight ≥ 1"]


def test_correlation_of_flat_maps_is_unknown():
    slope = np.arange(4, dtype=np.float32).reshape(2, 2)
    assert correlation(slope, np.ones((2, 2), np.float32)) is None
    assert correlation(slope, 3 * slope + 1) == pytest.approx(1.0)
    assert correlation(slope, -slope) == pytest.approx(-1.0)
