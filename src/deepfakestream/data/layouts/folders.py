"""`real/` and `fake/` under one folder; a folder inside `fake/` names the method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.layouts.labels import read_label
from deepfakestream.data.layouts.types import SourceItem
from deepfakestream.errors import DataError
from deepfakestream.media.find import find_media


class FoldersLayout:
    """Label by folder; media outside of a labelled folder come without a label and are refused later."""

    name = "folders"
    summary = "real/ and fake/ under one folder; fake/METHOD/... names the manipulation"

    def matches(self, source: Path) -> bool:
        """Say whether a folder named after a label is there."""
        return source.is_dir() and any(read_label(folder.name) for folder in _folders(source))

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the media of every folder, each a group of its own."""
        if not any(read_label(folder.name) for folder in _folders(source)):
            raise DataError(f"{source}: has no folder 'real' or 'fake'; sort the media into these two")
        for path in find_media([source]):
            parts = path.relative_to(source).parts
            label = read_label(parts[0]) if len(parts) > 1 else None
            method = parts[1] if label == "fake" and len(parts) > 2 else None
            yield SourceItem(name="/".join(parts), path=path, label=label, manipulation=method)


def _folders(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
