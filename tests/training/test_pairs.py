from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from deepfakestream.errors import DataError
from deepfakestream.training.augment import PARTNER, pair_augmentation
from deepfakestream.training.face_set import FaceSet, require_both_sides
from deepfakestream.training.pairs import DrawSampler, PairDataset, PairSpec
from deepfakestream.training.params import FakeMix

ONLY = {
    kind: FakeMix.model_validate({"dataset": 0.0, "self_blend": 0.0, "swap": 0.0} | {kind: 1.0})
    for kind in ("dataset", "self_blend", "swap")
}
EVEN = FakeMix(dataset=0.4, self_blend=0.4, swap=0.2)
MakeSet = Callable[..., FaceSet]


def _pairs(faces: FaceSet, mix: FakeMix = EVEN, *, augment: str = "none", seed: int = 7) -> PairDataset:
    return PairDataset(faces, PairSpec(mix=mix, augment=augment, seed=seed))  # type: ignore[arg-type]


def _is_in(picture: np.ndarray, pictures: np.ndarray) -> bool:
    return bool((pictures == picture).all(axis=(1, 2, 3)).any())


class TestRefused:
    def test_no_real_at_all(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=2, num_faked=2)
        with pytest.raises(DataError, match=r"'x' .*real"):
            require_both_sides(replace(faces, is_fake=np.ones(4, bool)), split="x", needs_dataset_fakes=False)

    @pytest.mark.parametrize("needed", [False, True])
    def test_no_fake(self, face_set: MakeSet, needed: bool) -> None:
        faces = face_set(num_groups=2, num_faked=0)
        if not needed:
            require_both_sides(faces, split="x", needs_dataset_fakes=False)
            return
        with pytest.raises(DataError, match=r"train\.samples\.fake_mix\.dataset"):
            require_both_sides(faces, split="x", needs_dataset_fakes=True)

    def test_no_real_that_could_be_paired(self, face_set: MakeSet) -> None:
        with pytest.raises(DataError, match=r"train\.samples\.fake_mix"):
            _pairs(face_set(num_groups=3, num_faked=0, num_without_mesh=3))


class TestRepeatable:
    def test_same_draw_same_tensor(self, face_set: MakeSet) -> None:
        faces = face_set()
        one, other = _pairs(faces, augment="full"), _pairs(faces, augment="full")
        backwards = {draw: other[draw] for draw in reversed(range(12))}
        for draw in range(12):
            assert torch.equal(one[draw], backwards[draw])

    def test_epochs_and_seeds_differ(self, face_set: MakeSet) -> None:
        pairs = _pairs(face_set(), augment="light")
        assert not torch.equal(pairs[0], pairs[len(pairs)])
        assert not torch.equal(pairs[0], _pairs(face_set(), augment="light", seed=8)[0])

    def test_shape(self, face_set: MakeSet) -> None:
        item = _pairs(face_set())[0]
        assert (item.shape, item.dtype) == ((2, 3, 64, 64), torch.uint8)


class TestSharedAugmentation:
    @pytest.mark.parametrize("strength", ["none", "light", "medium", "full", "mixed"])
    def test_identical_pictures_stay_identical(self, face_set: MakeSet, strength: str) -> None:
        """Whatever is drawn, both pictures of a pair get the same: it cannot tell the classes apart."""
        face = face_set().images[0]
        transform = pair_augmentation(strength, size_px=64, seed=0)  # type: ignore[arg-type]
        for seed in range(60):
            transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
            out = transform(image=face.copy(), **{PARTNER: face.copy()})
            assert np.array_equal(out["image"], out[PARTNER]), f"seed {seed}"
            assert out["image"].shape == (64, 64, 3)
            assert out["image"].dtype == np.uint8

    def test_steps_are_drawn_one_by_one(self, face_set: MakeSet) -> None:
        """Were one draw to decide on all steps, 3 in 10 pictures would pass unchanged, not 1 in 170."""
        faces = face_set(num_groups=1, num_faked=1)
        pairs = _pairs(faces, ONLY["dataset"], augment="full")
        pictures = [pairs[draw][0].permute(1, 2, 0).numpy() for draw in range(40)]
        assert sum(np.array_equal(picture, faces.images[0]) for picture in pictures) <= 3


class TestKinds:
    def test_dataset_fake_of_the_same_group(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=4, num_faked=4)
        pairs = _pairs(faces, ONLY["dataset"])
        for index in range(4):
            real, fake = pairs[index].permute(0, 2, 3, 1).numpy()
            assert np.array_equal(real, faces.images[index])
            assert np.array_equal(fake, faces.images[4 + index])

    def test_real_without_a_fake_of_its_own_makes_room_for_a_pair_of_one_group(
        self, face_set: MakeSet
    ) -> None:
        faces = face_set(num_groups=4, num_faked=1)
        real, fake = _pairs(faces, ONLY["dataset"])[3].permute(0, 2, 3, 1).numpy()
        assert np.array_equal(real, faces.images[0])
        assert np.array_equal(fake, faces.images[4])

    def test_fakes_without_a_real_take_their_turn(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=4, num_faked=4)
        pairs = _pairs(replace(faces, groups=np.array([*"abcd", *"abxy"])), ONLY["dataset"])
        fakes = [
            pairs.pair(position, np.random.default_rng([seed, position]))[1]
            for position in range(4)
            for seed in range(100)
        ]
        shares = [np.mean([np.array_equal(fake, own) for fake in fakes]) for own in faces.images[4:]]
        assert shares == pytest.approx([0.25] * 4, abs=0.08)

    def test_reals_never_meet_another_sets_fakes(self, face_set: MakeSet) -> None:
        """Else the set would tell the class: here every real of `b` has no fake but those of `b`."""
        faces = face_set(num_groups=4, num_faked=4)
        mixed = replace(
            faces, groups=np.array([*"abcd", *"abxy"]), sources=np.array(["a", "a", "b", "b"] * 2)
        )
        pairs = _pairs(mixed, ONLY["dataset"])
        for position, fakes in enumerate([[4], [5], [6, 7], [6, 7]]):
            drawn = [pairs.pair(position, np.random.default_rng(seed))[1] for seed in range(12)]
            assert all(_is_in(fake, faces.images[fakes]) for fake in drawn)

    @pytest.mark.parametrize("mix", [*ONLY.values(), EVEN], ids=[*ONLY, "even"])
    def test_reals_of_a_set_without_fakes_never_meet_dataset_fakes(
        self, face_set: MakeSet, mix: FakeMix
    ) -> None:
        faces = face_set(num_groups=6, num_faked=2, num_foreign=3)
        pairs = _pairs(faces, mix)
        foreign = {3, 4, 5} & set(pairs._reals)
        assert foreign == ({3, 4, 5} if mix.self_blend + mix.swap else set())
        for position in foreign:
            for seed in range(8):
                _, fake = pairs.pair(position, np.random.default_rng(seed))
                assert not _is_in(fake, faces.images[faces.fakes])

    def test_unlabelled_real_never_stands_beside_a_fake_without_siblings(self, face_set: MakeSet) -> None:
        """Fakes whose originals are unknown: reals of a foreign set must not take their place."""
        faces = face_set(num_groups=4, num_faked=2, num_foreign=2, num_without_mesh=4)
        orphaned = replace(faces, groups=np.array(["a", "b", "c", "d", "x", "y"]))
        pairs = _pairs(orphaned, EVEN)
        assert len(pairs) == 2
        for draw in range(20):
            real, fake = pairs[draw].permute(0, 2, 3, 1).numpy()
            assert _is_in(real, faces.images[:2])
            assert _is_in(fake, faces.images[4:])

    @pytest.mark.parametrize(("kind", "num_reals"), [("dataset", 4), ("self_blend", 6), ("swap", 6)])
    def test_faces_that_can_have_no_fake_of_the_mix_are_left_out(
        self, face_set: MakeSet, kind: str, num_reals: int
    ) -> None:
        """Four reals of a set with fakes, one of them without a mesh, and three of a set without fakes."""
        faces = face_set(num_groups=7, num_faked=4, num_foreign=3, num_without_mesh=1)
        assert len(_pairs(faces, ONLY[kind])) == num_reals

    def test_face_without_a_mesh_takes_dataset_fakes(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=2, num_faked=2, num_without_mesh=1)
        for seed in range(8):
            _, fake = _pairs(faces, EVEN).pair(0, np.random.default_rng(seed))
            assert np.array_equal(fake, faces.images[2])

    def test_set_without_fakes_is_forged(self, face_set: MakeSet) -> None:
        pairs = _pairs(face_set(num_groups=3, num_faked=0), EVEN)
        for draw in range(6):
            real, fake = pairs[draw]
            assert not torch.equal(real, fake)

    def test_one_person_cannot_be_swapped(self, face_set: MakeSet) -> None:
        """Nobody else's face is there, so the only forgery left is a self-blend."""
        alone = face_set(num_groups=1, num_faked=0)
        real, fake = _pairs(alone, EVEN)[0]
        assert not torch.equal(real, fake)
        with pytest.raises(DataError, match=r"train\.samples\.fake_mix"):
            _pairs(alone, ONLY["swap"])

    def test_donors_are_other_people(self, face_set: MakeSet) -> None:
        faces = face_set(num_groups=4, num_faked=0)
        two_people = replace(faces, groups=np.array(["a", "a", "b", "b"]))
        pairs = _pairs(two_people, ONLY["swap"])
        for seed in range(10):
            assert pairs._donor(0, np.random.default_rng(seed)) in (2, 3)


class TestSampler:
    @pytest.mark.parametrize("num_draws", [1, 5, 6, 7, 20])
    def test_draws_as_many_as_asked(self, face_set: MakeSet, num_draws: int) -> None:
        sampler = DrawSampler(_pairs(face_set()), num_draws=num_draws, seed=1)
        assert len(list(sampler)) == len(sampler) == num_draws

    def test_an_epoch_sees_each_face_once_in_another_order(self, face_set: MakeSet) -> None:
        sampler = DrawSampler(_pairs(face_set()), num_draws=6, seed=1)
        orders = []
        for epoch in range(3):
            sampler.epoch = epoch
            orders.append([draw % 6 for draw in sampler])
            assert sorted(orders[-1]) == list(range(6))
            assert list(sampler) == list(sampler)
        assert orders[0] != orders[1]

    def test_no_draw_comes_twice(self, face_set: MakeSet) -> None:
        sampler = DrawSampler(_pairs(face_set()), num_draws=9, seed=1)
        draws = []
        for epoch in range(4):
            sampler.epoch = epoch
            draws += list(sampler)
        assert len(set(draws)) == len(draws)
