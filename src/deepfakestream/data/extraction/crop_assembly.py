"""From stored extraction results to the crop store: the same items and results give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepfakestream.data.columns import ITEM_COLUMNS
from deepfakestream.data.crop_store import CropWriter
from deepfakestream.data.extraction.face_store import StoredFaces
from deepfakestream.errors import DataError, Reason
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.host.whole_files import replacing_folder

SUMMARY_FILE = "summary.json"
_FACE_REASONS = (Reason.NO_FACE, Reason.FACE_TOO_SMALL, Reason.FACE_CUT_OFF, Reason.TOO_MANY_FACES)
"""Why an item that was read gave no crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyItem:
    """An item that gave no crop."""

    media_id: str
    source: str
    original_name: str
    path: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What `summary.json` says about an extraction."""

    num_items: int = 0
    num_crops: int = 0
    empty: list[EmptyItem] = field(default_factory=list)

    @property
    def without_face(self) -> list[EmptyItem]:
        """Items that were read but show no usable face."""
        return [item for item in self.empty if item.reason in _FACE_REASONS]

    @property
    def unreadable(self) -> list[EmptyItem]:
        """Items that could not be decoded."""
        return [item for item in self.empty if item.reason not in _FACE_REASONS]


def assemble(
    extract_dir: Path,
    results: Iterable[tuple[dict[str, Any], StoredFaces]],
    *,
    shard_size: int,
    spec: ExtractionSpec,
) -> Summary:
    """Write `crops/`, `crops.parquet` and `summary.json`, replacing what was there.

    Args:
        extract_dir: folder to write; it is replaced at the end, whole.
        results: manifest row and stored faces of every item, in the order of the output.
        shard_size: crops a shard.
        spec: what the crops were made with; noted in the summary.
    """
    num_items = 0
    empty: list[EmptyItem] = []
    with replacing_folder(extract_dir) as partial:
        with CropWriter(partial, shard_size=shard_size) as writer:
            for row, stored in results:
                num_items += 1
                for face in sorted(stored.faces, key=lambda face: (face["frame_index"], face["track_id"])):
                    writer.add(*_crop(row, face))
                if not stored.faces:
                    empty.append(_empty(row, stored))
        summary = Summary(num_items=num_items, num_crops=writer.num_crops, empty=empty)
        _write_summary(partial / SUMMARY_FILE, summary, spec)
    return summary


def spec_differences(spec: ExtractionSpec, extract_dir: Path) -> list[str]:
    """Return in words where the crops of a folder were made otherwise than the spec asks for.

    Args:
        spec: that is asked for.
        extract_dir: folder that extraction wrote.

    Raises:
        DataError: the folder does not say how its crops were made.
    """
    path = extract_dir / SUMMARY_FILE
    try:
        used = json.loads(path.read_text(encoding="utf-8"))["spec"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: does not say how the crops were made; make them with 'dvc repro --force extract'"
        ) from error
    return [
        f"{name} {used.get(name)} instead of {value}"
        for name, value in asdict(spec).items()
        if used.get(name) != value
    ]


def _crop(row: dict[str, Any], face: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    columns = {
        "crop_id": f"{row['media_id']}:{face['frame_index']}:{face['track_id']}",
        "media_id": row["media_id"],
        **{name: row[name] for name in ITEM_COLUMNS},
        **{name: value for name, value in face.items() if name != "image"},
    }
    return columns, face["image"]


def _empty(row: dict[str, Any], stored: StoredFaces) -> EmptyItem:
    if stored.message:
        reason = stored.notes[0]
    else:
        reason = next((note for note in stored.notes if note in _FACE_REASONS), Reason.NO_FACE)
    return EmptyItem(
        media_id=row["media_id"],
        source=row["source"],
        original_name=row["original_name"],
        path=row["path"],
        reason=reason,
        message=stored.message or f"no usable face in {stored.num_frames} frames",
    )


def _write_summary(path: Path, summary: Summary, spec: ExtractionSpec) -> None:
    content = {
        "num_items": summary.num_items,
        "num_crops": summary.num_crops,
        "num_without_face": len(summary.without_face),
        "num_unreadable": len(summary.unreadable),
        "spec": asdict(spec),
        "empty": [asdict(item) for item in summary.empty],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
