"""Training samples: a real face and a fake of it: from the dataset, self-blended or swapped.

A batch holds as many reals as fakes, and wherever possible a fake and the real of the same picture or source,
so that scene, person, camera and coding say nothing about the class (GenD, WACV 2026, found this pairing
decisive). Every sample follows from (seed, epoch, index): workers and restarts change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from deepfakestream.errors import DataError
from deepfakestream.forge.self_blend import self_blend
from deepfakestream.forge.swap import pose_distance, swap_face
from deepfakestream.media.types import RGBImage
from deepfakestream.training.augment import PARTNER, StepGroup, Strength, pair_augmentation
from deepfakestream.training.face_set import FaceSet
from deepfakestream.training.params import FakeMix

KINDS = ("dataset", "self_blend", "swap")
"""Of fakes: the fields of `FakeMix`."""
NUM_DONORS = 48
"""Random faces among which a swap takes that of another person whose pose is nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSpec:
    """What decides the samples besides the faces."""

    mix: FakeMix
    augment: Strength
    seed: int
    without: tuple[StepGroup, ...] = ()
    """Groups of steps that `full` augmentation leaves out."""


class PairDataset(Dataset[Tensor]):
    """Item `i` is a uint8 tensor `(2, 3, S, S)`: the `i`-th real, or one of the fake's own group, and a fake.

    Reals that can have no fake of the mix are left out, e.g. without a mesh and from a source without fakes.

    Raises:
        DataError: no real is left.
    """

    def __init__(self, faces: FaceSet, spec: PairSpec) -> None:
        self._faces = faces
        self._spec = spec
        self._transform = pair_augmentation(
            spec.augment, size_px=faces.images.shape[1], seed=spec.seed, without=spec.without
        )
        self._donors = faces.forgeable
        self._fakes_by_group = _by_group(faces, faces.fakes)
        self._reals_by_group = _by_group(faces, np.flatnonzero(faces.is_beside_fakes))
        has_real = np.isin(faces.groups[faces.fakes], list(self._reals_by_group))
        self._siblings = faces.fakes[has_real]
        self._orphans = _orphans_by_source(faces, faces.fakes[~has_real])
        self._weights = _weights_by_face(faces, spec.mix)
        self._reals = np.flatnonzero(~faces.is_fake & (self._weights.sum(axis=0) > 0))
        if len(self._reals) == 0:
            raise DataError(
                "no real face can have a fake of train.samples.fake_mix: self-blends and swaps need a mesh, "
                "'dataset' needs a source with fakes; change the mix, or ingest sharper or more frontal reals"
            )

    def __len__(self) -> int:
        return len(self._reals)

    def __reduce__(self) -> tuple[Any, ...]:
        return PairDataset, (self._faces, self._spec)

    def __getitem__(self, draw: int) -> Tensor:
        """Return the pair of a draw, `epoch * len(self) + index`: workers need no epoch of their own."""
        epoch, index = divmod(draw, len(self))
        rng = np.random.default_rng([self._spec.seed, epoch, index])
        real, fake = self.pair(int(self._reals[index]), rng)
        # One stream for all steps: set_random_seed would start each step's own at the same number, so that
        # one draw would decide on all of them together.
        self._transform.set_random_state(rng, random.Random(int(rng.integers(2**31))))  # noqa: S311
        out = self._transform(image=real, **{PARTNER: fake})
        return torch.from_numpy(np.stack([out["image"], out[PARTNER]]).transpose(0, 3, 1, 2).copy())

    def pair(self, position: int, rng: np.random.Generator) -> tuple[RGBImage, RGBImage]:
        """Return a real and a fake `(S, S, 3)`, not augmented, drawn for the real face at that position.

        Args:
            position: of the real face.
            rng: random numbers; the same state gives the same result.
        """
        weights = self._weights[:, position]
        kind = str(rng.choice(KINDS, p=weights / weights.sum()))
        faces = self._faces
        if kind == "dataset":
            return self._dataset_pair(position, rng)
        if kind == "swap":
            donor = self._donor(position, rng)
            forgery = swap_face(
                faces.images[position], faces.points[position], faces.images[donor], faces.points[donor], rng
            )
        else:
            forgery = self_blend(faces.images[position], faces.points[position], rng)
        return forgery.real, forgery.fake

    def _dataset_pair(self, position: int, rng: np.random.Generator) -> tuple[RGBImage, RGBImage]:
        """Return a fake of the real's group if there is one, else any fake with a real of its own group.

        Fakes whose groups have no real take their turn as often as others of the real's source.
        """
        faces = self._faces
        orphans, share = self._orphans[str(faces.sources[position])]
        if rng.random() < share:
            return faces.images[position], faces.images[int(rng.choice(orphans))]
        own = self._fakes_by_group.get(str(faces.groups[position]))
        if own is None:
            own = rng.choice(self._siblings, size=1)
            position = int(rng.choice(self._reals_by_group[str(faces.groups[own[0]])]))
        return faces.images[position], faces.images[int(rng.choice(own))]

    def _donor(self, position: int, rng: np.random.Generator) -> int:
        candidates = rng.choice(self._donors, size=min(NUM_DONORS, len(self._donors)), replace=False)
        candidates = candidates[self._faces.groups[candidates] != self._faces.groups[position]]
        if len(candidates) == 0:
            candidates = self._donors[self._donors != position]
        distance = pose_distance(self._faces.points[position], self._faces.points[candidates])
        return int(candidates[int(distance.argmin())])


def _weights_by_face(faces: FaceSet, mix: FakeMix) -> NDArray[np.float64]:
    """Return what the mix gives each kind of fake, 0 where a face cannot have it: `(kinds, faces)`."""
    can_have = {
        "dataset": faces.is_beside_fakes,
        "self_blend": faces.has_mesh,
        "swap": faces.has_mesh & (len(faces.forgeable) > 1),
    }
    return np.array([getattr(mix, kind) * can_have[kind] for kind in KINDS])


def _orphans_by_source(
    faces: FaceSet, orphans: NDArray[np.intp]
) -> dict[str, tuple[NDArray[np.intp], float]]:
    """Return, by source, the fakes that have no real of their own and their share of the source's fakes."""
    parts = {}
    for source in np.unique(faces.sources[faces.fakes]):
        own = orphans[faces.sources[orphans] == source]
        parts[str(source)] = own, len(own) / int((faces.sources[faces.fakes] == source).sum())
    return parts


def _by_group(faces: FaceSet, positions: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    if len(positions) == 0:
        return {}
    groups = faces.groups[positions]
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    return {str(name): part for name, part in zip(names, np.split(positions[order], starts[1:]), strict=True)}


class DrawSampler(Sampler[int]):
    """The draws of one epoch in random order, `num_draws` of them, the same for the same seed and epoch.

    With a share `(rank, size)` only every `size`-th of them, so that the batches of all ranks together are
    those of a single process with batches `size` times as large.
    """

    def __init__(
        self, dataset: PairDataset, *, num_draws: int, seed: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        self._size = len(dataset)
        self._num_draws = num_draws
        self._seed = seed
        self._share = share
        self.epoch = 0

    def __len__(self) -> int:
        rank, size = self._share
        return len(range(rank, self._num_draws, size))

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self.epoch, 1])
        passes = -(-self._num_draws // self._size)
        order = np.concatenate([rng.permutation(self._size) + p * self._size for p in range(passes)])
        first = self.epoch * passes * self._size
        rank, size = self._share
        yield from (int(first + draw) for draw in order[rank : self._num_draws : size])
