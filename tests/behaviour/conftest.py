"""The packaged model before real people: the twelve of the sample media, as they are and forged.

These tests say what a model that ships must do, in shares and means over all people. They know no score of
any particular model, and read size and framing of crops from its spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.picture import Kind, find_face, forge_picture
from deepfakestream.media.types import RGBImage
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.scanning.engine import ScanEngine, open_engine
from infra.demo.people import PEOPLE, read_square

SEEDS = (0, 1, 2)
KINDS: tuple[Kind, ...] = ("self_blend", "swap")

Pictures = Mapping[str, RGBImage]


@pytest.fixture(scope="session")
def engine() -> ScanEngine:
    return open_engine(packaged_model_dir(), PACKAGED_VERSION, operating_point="balanced", device="cpu")


@pytest.fixture(scope="session")
def squares(sample_media: Path) -> dict[str, list[RGBImage]]:
    """Each person's square of the source pictures: one frame of a still, many of a film."""
    return {person.name: read_square(person, sample_media) for person in PEOPLE}


@pytest.fixture(scope="session")
def people(squares: Mapping[str, list[RGBImage]]) -> Pictures:
    """One real picture of each person, at its own size."""
    return {name: frames[0] for name, frames in squares.items()}


@pytest.fixture(scope="session")
def mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="session")
def forged(people: Pictures, engine: ScanEngine, mesh: FaceMesh) -> dict[Kind, dict[str, list[RGBImage]]]:
    """By kind and person: the person's picture, forged once a seed; donors are the other people by turns."""
    names = list(people)
    donors = {name: find_face(rgb, engine.detector, mesh) for name, rgb in people.items()}
    made: dict[Kind, dict[str, list[RGBImage]]] = {kind: {name: [] for name in names} for kind in KINDS}
    for kind in KINDS:
        for number, name in enumerate(names):
            for seed in SEEDS:
                donor = donors[names[(number + 1 + seed) % len(names)]] if kind == "swap" else None
                rng = np.random.default_rng([seed, number])
                fake = forge_picture(people[name], engine.detector, mesh, rng, kind, donor)
                assert fake is not None, f"{name}: no face to forge"
                made[kind][name].append(fake.fake)
    return made


@dataclass(frozen=True)
class Face:
    """Where the face is in a picture; the picture may then be changed and cut again in the same place."""

    rgb: RGBImage
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class Judge:
    """Cuts faces as the model's spec says, and scores them."""

    engine: ScanEngine

    def find(self, rgb: RGBImage) -> Face:
        return Face(rgb, self.engine.detector.detect([rgb])[0][0].box_xyxy)

    def crop(self, face: Face, change: Callable[[RGBImage], RGBImage] = lambda rgb: rgb) -> RGBImage:
        """Return the crop of the face, found in the unchanged picture, from the changed one."""
        spec = self.engine.scorer.spec.extraction
        return crop_face(
            change(face.rgb),
            face.box_xyxy,
            scale=spec.crop_scale,
            size_px=spec.crop_size_px,
            shift_y=spec.crop_shift_y,
        )

    def logits(self, crops: list[RGBImage]) -> NDArray[np.float64]:
        return self.engine.scorer.logits(np.stack(crops)).astype(np.float64)

    def p_fake(self, crops: list[RGBImage]) -> NDArray[np.float64]:
        return calibrate(self.logits(crops), self.engine.scorer.spec.calibration)


@pytest.fixture(scope="session")
def judge(engine: ScanEngine) -> Judge:
    return Judge(engine)


@pytest.fixture(scope="session")
def real_faces(people: Pictures, judge: Judge) -> list[Face]:
    return [judge.find(rgb) for rgb in people.values()]


@pytest.fixture(scope="session")
def real_logits(real_faces: list[Face], judge: Judge) -> NDArray[np.float64]:
    return judge.logits([judge.crop(face) for face in real_faces])


@pytest.fixture(scope="session")
def real_p_fake(real_logits: NDArray[np.float64], engine: ScanEngine) -> NDArray[np.float64]:
    return calibrate(real_logits, engine.scorer.spec.calibration)


@pytest.fixture(scope="session")
def all_faces(
    real_faces: list[Face], forged: dict[Kind, dict[str, list[RGBImage]]], judge: Judge
) -> list[Face]:
    """Real and forged faces alike: an invariance that holds only at one end of the scale is none."""
    fakes = [each[0] for by_person in forged.values() for each in by_person.values()]
    return [*real_faces, *map(judge.find, fakes)]
