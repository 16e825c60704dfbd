from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from deepfakestream.model.network import DetectorNetwork
from deepfakestream.training.distributed import DistributedContext
from deepfakestream.training.face_set import FaceSet, find_meshes
from deepfakestream.training.validation import logits_of, measure_kinds, validation_sets

MakeSet = Callable[..., FaceSet]
CPU = torch.device("cpu")


class Greenness(DetectorNetwork):
    """A network without weights: how much greener than red a picture is."""

    def __init__(self) -> None:
        super(DetectorNetwork, self).__init__()  # no streams and no head

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        means = pixels.mean(dim=(2, 3))
        return means[:, 1] - means[:, 0]


class TestKinds:
    @pytest.mark.parametrize(
        ("shape", "kinds"),
        [
            ({"num_groups": 1, "num_faked": 0}, []),
            ({"num_groups": 2, "num_faked": 0, "num_without_mesh": 2}, []),
            ({"num_groups": 2, "num_faked": 0}, ["self_blend", "swap"]),
            ({"num_groups": 1, "num_faked": 1}, ["dataset", "dataset_coded"]),
            ({"num_groups": 2, "num_faked": 1, "num_foreign": 2}, ["self_blend", "swap"]),
            ({"num_groups": 3, "num_faked": 2}, ["dataset", "dataset_coded", "self_blend", "swap"]),
        ],
    )
    def test_what_a_split_cannot_show_is_left_out(
        self, face_set: MakeSet, shape: dict[str, int], kinds: list[str]
    ) -> None:
        sets = validation_sets(face_set(**shape), seed=0)
        assert sorted(sets) == kinds
        for part in sets.values():
            assert 0 < part.is_fake.sum() < len(part.is_fake) == len(part.images) == len(part.groups)

    def test_reals_of_a_set_without_fakes_are_not_told_from_its_fakes(self, face_set: MakeSet) -> None:
        sets = validation_sets(face_set(num_groups=5, num_faked=2, num_foreign=3), seed=0)
        assert (len(sets["dataset"].images), len(sets["self_blend"].images)) == (4, 10)

    def test_same_seed_same_pictures(self, face_set: MakeSet) -> None:
        first, again = (validation_sets(face_set(num_groups=3, num_faked=1), seed=5) for _ in range(2))
        for kind in first:
            assert np.array_equal(first[kind].images, again[kind].images)


class TestMeasure:
    def test_kinds_weigh_alike(self, face_set: MakeSet) -> None:
        sets = validation_sets(face_set(num_groups=4, num_faked=4), seed=0)
        found = measure_kinds(Greenness(), sets, DistributedContext(device=CPU))
        assert found["val_auc_dataset"] == 1.0
        kinds = [value for name, value in found.items() if name != "val_auc"]
        assert found["val_auc"] == pytest.approx(np.mean(kinds))
        assert len(kinds) == 4

    def test_scores_in_order(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=70, num_faked=70)
        logits = logits_of(Greenness(), faces.images, CPU)
        assert logits.shape == (140,)
        assert logits[faces.fakes].min() > logits[faces.reals].max()


class TestMeshes:
    def test_only_for_the_wanted(self, face_set: MakeSet) -> None:
        images = face_set(num_groups=2, num_faked=0).images
        points = find_meshes(images, np.array([True, False]), crop_scale=1.0)
        assert points.shape == (2, 468, 2)
        assert np.isfinite(points).all(axis=(1, 2)).tolist() == [True, False]

    def test_none_where_there_is_no_face(self, face_set: MakeSet) -> None:
        flat = np.full((1, 64, 64, 3), 90, np.uint8)
        assert np.isnan(find_meshes(flat, np.array([True]), crop_scale=1.0)).all()
