"""Layouts of labelled media: each a small class; detected, or chosen by name.

To add one: write a module with a class that has `name`, `summary`, `matches` and `items` (`types.Layout`),
list it in `LAYOUTS` before any layout whose folders it would also match, and add a tree to
`tests/data/test_layouts.py`.
"""

from __future__ import annotations

from pathlib import Path

from deepfakestream.data.layouts.crop_shards import CropShardsLayout
from deepfakestream.data.layouts.dfdc import DfdcLayout
from deepfakestream.data.layouts.faceforensics import FaceForensicsLayout
from deepfakestream.data.layouts.folders import FoldersLayout
from deepfakestream.data.layouts.manifest import ManifestLayout
from deepfakestream.data.layouts.types import Layout
from deepfakestream.errors import DataError

LAYOUTS: tuple[Layout, ...] = (
    CropShardsLayout(),
    DfdcLayout(),
    FaceForensicsLayout(),
    ManifestLayout(),
    FoldersLayout(),
)
"""In the order in which they are tried: the most specific first."""


def choose_layout(source: Path, name: str | None = None) -> Layout:
    """Return the layout of a source: the one named, else the first that matches.

    Raises:
        DataError: the source is missing, the name is unknown, or no layout matches.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; give the folder or manifest of labelled media")
    if name is not None:
        return _by_name(name)
    for layout in LAYOUTS:
        if layout.matches(source):
            return layout
    known = "; ".join(f"{layout.name}: {layout.summary}" for layout in LAYOUTS)
    raise DataError(f"{source}: no known layout; arrange it as one of these ({known})")


def _by_name(name: str) -> Layout:
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise DataError(f"--layout {name}: unknown; use one of {', '.join(layout.name for layout in LAYOUTS)}")
