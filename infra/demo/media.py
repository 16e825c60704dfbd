"""Stills and clips of one person, real and forged, in any number and always the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfakestream.errors import DataError
from deepfakestream.faces.types import FaceDetector
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.picture import FaceInPicture, Kind, find_face, forge_picture
from deepfakestream.media.types import RGBImage
from infra.demo.people import PEOPLE, Person
from infra.demo.views import CLIP_FRAMES, Look, views, write_clip, write_still

STILLS_PER_LABEL = 6
KINDS: tuple[Kind, ...] = ("self_blend", "swap")
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that was written."""

    path: Path
    person: Person
    label: str
    manipulation: str
    """Kind of the forgery; `none` for a real."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What is needed to make media of one person."""

    squares: Mapping[str, Sequence[RGBImage]]
    """Everybody's pictures by name: donors of swaps come from them."""
    detector: FaceDetector
    mesh: FaceMesh

    def make(self, person: Person, directory: Path, look: Look, seed: int) -> Iterator[Made]:
        """Write a real and a fake clip and `STILLS_PER_LABEL` stills of each label; yield each file.

        Raises:
            DataError: no face could be forged in this person's pictures.
        """
        number = PEOPLE.index(person)
        clip_kinds: tuple[Kind | None, ...] = (None, KINDS[number % 2])
        for index, kind in enumerate(clip_kinds):
            rng = np.random.default_rng([seed, number, index])
            frames = self._pictures(person, kind, rng, num_frames=CLIP_FRAMES)
            path = directory / f"{_stem(person, kind)}.mp4"
            write_clip(path, frames, look)
            yield _made(path, person, kind)
        for index in range(2 * STILLS_PER_LABEL):
            kind = None if index < STILLS_PER_LABEL else KINDS[index % 2]
            rng = np.random.default_rng([seed, number, 2 + index])
            path = directory / f"{_stem(person, kind)}-{index:02}.jpg"
            write_still(path, self._pictures(person, kind, rng, num_frames=1)[0], look, rng)
            yield _made(path, person, kind)

    def _pictures(
        self, person: Person, kind: Kind | None, rng: np.random.Generator, *, num_frames: int
    ) -> list[RGBImage]:
        """Return pictures of the person, forged unless the kind is None."""
        real = views(self.squares[person.name], rng, num_frames=num_frames)
        if kind is None:
            return real
        for _ in range(_ATTEMPTS):
            fake = self._forge(person, real, kind, rng)
            if fake is not None:
                return fake
        raise DataError(f"{person.file}: no face could be forged in it; install the sample media again")

    def _forge(
        self, person: Person, real: Sequence[RGBImage], kind: Kind, rng: np.random.Generator
    ) -> list[RGBImage] | None:
        """Forge every frame with the same draws: the forgery stays the same while the face moves."""
        donor = self._donor(person, rng) if kind == "swap" else None
        seed = int(rng.integers(2**31))
        made = []
        for rgb in real:
            forged = forge_picture(rgb, self.detector, self.mesh, np.random.default_rng(seed), kind, donor)
            if forged is None or not forged.mask.any():
                return None
            made.append(forged.fake)
        return made

    def _donor(self, person: Person, rng: np.random.Generator) -> FaceInPicture | None:
        """Return the face of somebody else of the same split: nobody may be in two."""
        others = [each for each in PEOPLE if each.split == person.split and each != person]
        donor = others[int(rng.integers(len(others)))]
        return find_face(views(self.squares[donor.name], rng, num_frames=1)[0], self.detector, self.mesh)


def _stem(person: Person, kind: Kind | None) -> str:
    return f"{person.name}-{'real' if kind is None else kind.replace('_', '-')}"


def _made(path: Path, person: Person, kind: Kind | None) -> Made:
    return Made(path=path, person=person, label="fake" if kind else "real", manipulation=kind or "none")
