"""The faces that training sees: pictures, labels, groups and meshes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import DataError
from deepfakestream.forge.mesh import NUM_POINTS, FaceMesh
from deepfakestream.host.progress import progress_bar
from deepfakestream.training.mapped import handle_of, open_mapped


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSet:
    """Face crops of one split; may be sent to other processes, where arrays that map a file stay mapped."""

    images: NDArray[np.uint8]
    """`(N, S, S, 3)` RGB."""
    is_fake: NDArray[np.bool_]
    media_ids: NDArray[np.str_]
    track_ids: NDArray[np.int64]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    """Name of the source that each face came from."""
    points: NDArray[np.float32]
    """`(N, 468, 2)` mesh in pixels of the crop; NaN where no mesh was found."""

    @property
    def reals(self) -> NDArray[np.intp]:
        """Positions of the real faces, `(R,)`."""
        return np.flatnonzero(~self.is_fake)

    @property
    def fakes(self) -> NDArray[np.intp]:
        """Positions of the fake faces, `(F,)`."""
        return np.flatnonzero(self.is_fake)

    @property
    def has_mesh(self) -> NDArray[np.bool_]:
        """Which faces have a mesh, and so can be forged, `(N,)`."""
        return np.asarray(np.isfinite(self.points[:, 0, 0]))

    @property
    def forgeable(self) -> NDArray[np.intp]:
        """Positions of the real faces with a mesh, `(M,)`: what self-blends and swaps are made of."""
        return np.flatnonzero(~self.is_fake & self.has_mesh)

    @property
    def has_fakes_in_source(self) -> NDArray[np.bool_]:
        """Which faces come from a source that holds fakes too, `(N,)`."""
        return np.asarray(np.isin(self.sources, np.unique(self.sources[self.is_fake])))

    @property
    def is_beside_fakes(self) -> NDArray[np.bool_]:
        """Which faces may meet fakes of the dataset, `(N,)`: elsewhere the source would become the label."""
        return ~self.is_fake & self.has_fakes_in_source

    def __len__(self) -> int:
        return len(self.images)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return _rebuild, ({name: handle_of(array) or array for name, array in arrays.items()},)


def _rebuild(arrays: dict[str, Any]) -> FaceSet:
    return FaceSet(**{name: open_mapped(a) if isinstance(a, Path) else a for name, a in arrays.items()})


def find_meshes(
    images: NDArray[np.uint8], wanted: NDArray[np.bool_], *, crop_scale: float
) -> NDArray[np.float32]:
    """Return the meshes `(N, 468, 2)` of the wanted crops; NaN for the others and where none is found.

    Args:
        images: crops `(N, S, S, 3)`, RGB, 0-255.
        wanted: `(N,)`, True where a mesh is wanted.
        crop_scale: as in `extract.crop_scale`.
    """
    mesh = FaceMesh()
    points = np.full((len(images), NUM_POINTS, 2), np.nan, dtype=np.float32)
    indices = np.flatnonzero(wanted)
    for index in progress_bar(indices, description="meshes", total=len(indices), unit="face"):
        found = mesh.find(images[index], crop_scale=crop_scale)
        if found is not None:
            points[index] = found
    return points


def require_both_sides(faces: FaceSet, *, split: str, needs_dataset_fakes: bool) -> None:
    """Refuse a split that cannot be learnt from.

    Args:
        faces: of the split.
        split: name for the message.
        needs_dataset_fakes: whether fakes of the dataset are asked for.

    Raises:
        DataError: there is no real face, or fakes are asked for and there is none.
    """
    if len(faces.reals) == 0:
        raise DataError(f"split '{split}' has no real face; ingest real media or change ingest.split_salt")
    if needs_dataset_fakes and len(faces.fakes) == 0:
        raise DataError(
            f"split '{split}' has no fake face but train.samples.fake_mix.dataset is above 0; "
            "ingest fakes or set both to 0"
        )
