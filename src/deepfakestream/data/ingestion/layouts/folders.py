"""`real/` and `fake/`, perhaps under `train/`, `val/`, `test/`; a folder inside `fake/` names the method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.ingestion.layouts.labels import read_label
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError
from deepfakestream.media.find import find_media

SPLIT_FOLDERS = frozenset({"train", "val", "valid", "validation", "test"})
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


class FoldersLayout:
    """Label by folder; media outside of a labelled folder come without a label and are refused later.

    A file is a group of its own, except that pictures in a folder below the label (below the method, for
    fakes) are taken for the frames of one clip: the folder is their group, also across labels and methods.
    """

    name = "folders"
    summary = "real/ and fake/, here or under train/, val/, test/; fake/METHOD/... names the manipulation"
    covers: frozenset[str] = frozenset()

    def matches(self, source: Path) -> bool:
        """Say whether a folder named after a label is there."""
        folders = _folders(source)
        splits = [folder for folder in folders if folder.name.lower() in SPLIT_FOLDERS]
        inner = [child for split in splits for child in _folders(split)]
        return any(read_label(folder.name) for folder in [*folders, *inner])

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the media of every folder, by path."""
        if not self.matches(source):
            raise DataError(f"{source}: has no folder 'real' or 'fake'; sort the media into these two")
        for path in find_media([source]):
            yield _item(source, path)


def _folders(source: Path) -> list[Path]:
    try:
        return sorted(path for path in source.iterdir() if path.is_dir())
    except OSError:
        return []  # no folder, or one that cannot be read: the search reports it


def _item(source: Path, path: Path) -> SourceItem:
    name = path.relative_to(source).as_posix()
    folders = list(path.relative_to(source).parts[:-1])
    split = folders.pop(0) if folders and folders[0].lower() in SPLIT_FOLDERS else None
    label = read_label(folders.pop(0)) if folders else None
    method = folders.pop(0) if label == "fake" and folders else None
    is_frame = label is not None and folders and path.suffix.lower() in PICTURE_SUFFIXES
    return SourceItem(
        name=name,
        path=path,
        label=label,
        manipulation=method,
        group="/".join(folders) if is_frame else None,
        split=split,
    )
