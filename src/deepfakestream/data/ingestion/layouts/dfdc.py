"""Deepfake Detection Challenge: parts with a `metadata.json` that names label and original of each video."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError

METADATA_FILE = "metadata.json"
PLACES = (METADATA_FILE, f"*/{METADATA_FILE}", f"*/dfdc_train_part_*/{METADATA_FILE}")
"""Where parts lie: here, a folder down, or in the folder that the archive of a part unpacks to."""


class DfdcLayout:
    """One part, or a folder of parts: `{"x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"}}`.

    Every training part says `train`; that is not taken over, and splits are drawn by source group. Another
    split is. Videos that the metadata does not name come without a label and are refused later.
    """

    name = "dfdc"
    summary = "DFDC parts: metadata.json next to the videos, in this folder or in its subfolders"
    covers: frozenset[str] = frozenset()

    def matches(self, source: Path) -> bool:
        """Say whether a part is here or below."""
        return bool(_parts(source))

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the videos of every part, by name; a fake belongs to its original's group."""
        parts = _parts(source)
        if not parts:
            raise DataError(
                f"{source}: no {METADATA_FILE} here or one folder down; name the folder of a part"
            )
        for metadata in parts:
            entries = _read(metadata)
            listed = (path.name for path in metadata.parent.iterdir() if not path.name.startswith("."))
            videos = {name for name in listed if name.lower().endswith(".mp4")}
            for name in sorted(videos | set(entries)):
                yield _item(source, metadata.parent / name, entries.get(name, {}))


def _parts(source: Path) -> list[Path]:
    if not source.is_dir():
        return []
    return sorted({path for place in PLACES for path in source.glob(place)})


def _item(source: Path, path: Path, entry: dict[str, Any]) -> SourceItem:
    split = entry.get("split")
    return SourceItem(
        name=path.relative_to(source).as_posix(),
        path=path,
        label=entry.get("label"),
        manipulation="dfdc" if entry.get("label") == "FAKE" else None,
        group=Path(entry.get("original") or path.name).stem,
        split=None if split == "train" else split,
    )


def _read(metadata: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(metadata.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{metadata}: not valid JSON ({error}); fetch the part again") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(f"{metadata}: must map file names to objects with a 'label'; fetch the part again")
    for name, entry in content.items():
        _check_entry(metadata, name, entry)
    return content


def _check_entry(metadata: Path, name: str, entry: dict[str, Any]) -> None:
    if name in ("", "..") or name != Path(name).name:
        raise DataError(f"{metadata}: '{name}' is no name of a file next to it; fetch the part again")
    for cell in ("label", "split", "original"):
        if not isinstance(entry.get(cell), str | None):
            raise DataError(
                f"{metadata}: {cell} of '{name}' is {entry[cell]!r}, which is no text; fetch the part again"
            )
