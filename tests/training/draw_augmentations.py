"""Draws the pictures of docs/AUGMENTATIONS.md from the astronaut of scikit-image (NASA, public domain).

Run from the repository root: `.venv/bin/python tests/training/draw_augmentations.py docs/images`
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import skimage.data
from PIL import Image

from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.self_blend import self_blend
from deepfakestream.forge.swap import swap_face
from deepfakestream.media.types import RGBImage
from deepfakestream.training import augment

FACE_XYXY = (178.0, 58.0, 273.0, 178.0)
SIZE_PX = 224
TILE_PX = 96
COLUMNS = 6
STEP_GROUPS = ("framing", "colour", "detail", "coding", "hidden")


def _group(name: str) -> list[Any]:
    others = [other for other in STEP_GROUPS if other != name]
    return augment._full(SIZE_PX, others)[1:]  # the first step is the flip


ROWS: tuple[tuple[str, Callable[[], list[Any]]], ...] = (
    *((name, partial(_group, name)) for name in STEP_GROUPS),
    ("part", lambda: augment._part_of_face(SIZE_PX)),
    ("full", lambda: augment._full(SIZE_PX, ())),
)


def _face() -> RGBImage:
    return crop_face(skimage.data.astronaut(), np.array(FACE_XYXY), scale=1.0, size_px=SIZE_PX)


def _certain(steps: list[Any]) -> A.Compose:
    """Return the group with its common steps certain, so that each tile shows something."""
    for step in steps:
        step.p = 1.0 if step.p > 0.1 else 0.0  # grey pictures are rare
    return A.Compose(steps)


def _augmented(face: RGBImage) -> list[list[RGBImage]]:
    rows = []
    for name, steps in ROWS:
        transform = A.Compose(steps()) if name == "full" else _certain(steps())
        row = []
        for seed in range(COLUMNS):
            transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
            row.append(transform(image=face)["image"])
        rows.append(row)
    return rows


def _forged(face: RGBImage) -> list[list[RGBImage]]:
    """Return one row of self-blends and one of swaps with the mirrored face, each next to its mask."""
    mesh = FaceMesh()
    donor = np.ascontiguousarray(face[:, ::-1])
    points, donor_points = mesh.find(face, crop_scale=1.0), mesh.find(donor, crop_scale=1.0)
    assert points is not None
    assert donor_points is not None
    blends = [self_blend(face, points, np.random.default_rng(seed)) for seed in range(COLUMNS // 2)]
    swaps = [
        swap_face(face, points, donor, donor_points, np.random.default_rng(seed))
        for seed in range(COLUMNS // 2)
    ]
    rows = []
    for forgeries in (blends, swaps):
        row: list[RGBImage] = []
        for forgery in forgeries:
            grey = np.repeat((forgery.mask * 255).astype(np.uint8)[..., None], 3, axis=2)
            row += [forgery.fake, grey]
        rows.append(row)
    return rows


def _write(rows: list[list[RGBImage]], path: Path) -> None:
    tiles = [
        np.hstack([cv2.resize(tile, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA) for tile in row])
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    # 256 colours are enough to look at and keep the file small.
    Image.fromarray(np.vstack(tiles)).quantize(256).save(path, optimize=True)


def draw(folder: Path) -> None:
    """Write `augmentations.png` and `forgeries.png` into the folder."""
    face = _face()
    _write(_augmented(face), folder / "augmentations.png")
    _write(_forged(face), folder / "forgeries.png")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
