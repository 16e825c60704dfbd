"""Small real pictures and sources made of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.faces.crop import crop_face
from deepfakestream.forge.mesh import FaceMesh
from deepfakestream.forge.self_blend import self_blend
from deepfakestream.media.types import RGBImage

PictureWriter = Callable[..., Path]
Planter = Callable[..., Path]


@pytest.fixture
def write_picture(astronaut: RGBImage) -> PictureWriter:
    """Write the astronaut's face, its brightness set by `shade`; equal shades give equal bytes."""

    def write(path: Path, *, shade: int, size_px: int = 64) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        face = Image.fromarray(astronaut[40:200, 150:310]).resize((size_px, size_px))
        pixels = np.clip(np.asarray(face).astype(int) + shade, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(
            path, format="PNG" if path.suffix.lower() == ".png" else "JPEG", quality=95
        )
        return path

    return write


@pytest.fixture(scope="session")
def clip_bytes(
    tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage, encode_clip: Callable[..., Path]
) -> dict[str, bytes]:
    """A quarter of a second of H.264 of a real face, and of a fake that was forged from it."""
    crop = crop_face(astronaut, np.array((178.0, 58.0, 273.0, 178.0)), scale=1.0, size_px=160)
    points = FaceMesh().find(crop, crop_scale=1.0)
    assert points is not None
    forgery = self_blend(crop, points, np.random.default_rng(0))
    folder = tmp_path_factory.mktemp("clips")
    return {
        label: encode_clip(folder / f"{label}.mp4", [np.roll(rgb, i, axis=1) for i in range(6)]).read_bytes()
        for label, rgb in (("real", forgery.real), ("fake", forgery.fake))
    }


@pytest.fixture
def plant(tmp_path: Path, clip_bytes: dict[str, bytes], write_picture: PictureWriter) -> Planter:
    """Make a tree: real clips and pictures, fakes, and texts; every medium has bytes of its own."""

    def make(
        *, reals: Iterable[str] = (), fakes: Iterable[str] = (), texts: Mapping[str, str] | None = None
    ) -> Path:
        source = tmp_path / "source"
        media = [(name, "real") for name in reals] + [(name, "fake") for name in fakes]
        for number, (name, label) in enumerate(media):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in {".jpg", ".png"}:
                write_picture(path, shade=number)
            else:
                # An empty box of MP4 at the end: players pass over it, and the digest is another.
                path.write_bytes(clip_bytes[label] + struct.pack(">I4sI", 12, b"free", number))
        for name, text in (texts or {}).items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        return source

    return make
