"""Layouts of labelled media: each a small class; detected, or chosen by name.

docs/DATA.md shows how to add one; `types.Layout` is what it must offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepfakestream.data.ingestion.layouts.celeb_df import CelebDfLayout
from deepfakestream.data.ingestion.layouts.crop_shards import CropShardsLayout
from deepfakestream.data.ingestion.layouts.dfdc import DfdcLayout
from deepfakestream.data.ingestion.layouts.dfdc_preview import DfdcPreviewLayout
from deepfakestream.data.ingestion.layouts.faceforensics import DfdLayout, FaceForensicsLayout
from deepfakestream.data.ingestion.layouts.folders import FoldersLayout
from deepfakestream.data.ingestion.layouts.manifest import ManifestLayout
from deepfakestream.data.ingestion.layouts.types import Layout
from deepfakestream.errors import DataError

LAYOUTS: tuple[Layout, ...] = (
    CelebDfLayout(),
    CropShardsLayout(),
    DfdLayout(),
    DfdcLayout(),
    DfdcPreviewLayout(),
    FaceForensicsLayout(),
    FoldersLayout(),
    ManifestLayout(),
)
"""Every layout, by name."""


def choose_layout(source: Path, name: str | None = None, layouts: Sequence[Layout] = LAYOUTS) -> Layout:
    """Return the layout of a source: the one named, else the only one that it looks like.

    Args:
        source: folder, table or tar shards.
        name: of a layout; None: detect it.
        layouts: to choose from.

    Raises:
        DataError: the source is missing, the name is unknown, or no layout matches, or several do.
    """
    try:
        is_there = source.exists()
    except OSError:
        is_there = False
    if not is_there:
        raise DataError(f"{source}: no such file or folder; give the folder or manifest of labelled media")
    if name is not None:
        by_name = {layout.name: layout for layout in layouts}
        if name not in by_name:
            raise DataError(f"--layout {name}: unknown; use one of {', '.join(by_name)}")
        return by_name[name]
    matching = [layout for layout in layouts if layout.matches(source)]
    covered = frozenset[str]().union(*(layout.covers for layout in matching))
    meant = [layout for layout in matching if layout.name not in covered]
    if len(meant) == 1:
        return meant[0]
    if meant:
        names = " and ".join(layout.name for layout in meant)
        raise DataError(f"{source}: looks like {names}; say which with --layout, or name the folder of one")
    known = "; ".join(f"{layout.name}: {layout.summary}" for layout in layouts)
    raise DataError(f"{source}: no known layout; arrange it as one of these ({known})")
