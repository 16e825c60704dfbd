"""Deepfake Detection Challenge: parts with a `metadata.json` that names label and original of each video."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepfakestream.data.layouts.types import SourceItem
from deepfakestream.errors import DataError

METADATA_FILE = "metadata.json"


class DfdcLayout:
    """One part, or a folder of parts: `{"x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"}}`.

    The parts' `split` is always `train` and therefore not taken over; splits are drawn by source group.
    """

    name = "dfdc"
    summary = "DFDC parts: metadata.json beside the videos, in this folder or in its subfolders"

    def matches(self, source: Path) -> bool:
        """Say whether a part is here or one folder down."""
        return bool(_parts(source))

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the videos of every part, by name; a fake belongs to its original's group."""
        parts = _parts(source)
        if not parts:
            raise DataError(
                f"{source}: no {METADATA_FILE} here or one folder down; name the folder of a part"
            )
        for metadata in parts:
            for name, entry in sorted(_read(metadata).items()):
                path = metadata.parent / name
                yield SourceItem(
                    name=path.relative_to(source).as_posix(),
                    path=path,
                    label=entry.get("label"),
                    manipulation="dfdc" if entry.get("label") == "FAKE" else None,
                    group=Path(entry.get("original") or name).stem,
                )


def _parts(source: Path) -> list[Path]:
    if not source.is_dir():
        return []
    return sorted([*source.glob(METADATA_FILE), *source.glob(f"*/{METADATA_FILE}")])


def _read(metadata: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(metadata.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{metadata}: not valid JSON ({error}); fetch the part again") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(f"{metadata}: must map file names to objects with a 'label'; fetch the part again")
    return content
