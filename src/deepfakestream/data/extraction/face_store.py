"""The face store: results of face extraction by content, so that no work is lost or done twice.

A result depends on the item's digest, the extraction spec, the detector's weights and the item's kind; these
name a folder. In it lies one Arrow file a batch, written whole or not at all: a killed run loses the batch in
hand and nothing else. The store is a cache: deleting it costs time only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from deepfakestream.data.crop_store import CROP_SCHEMA
from deepfakestream.errors import Reason
from deepfakestream.faces.types import ExtractionSpec, FaceCrop
from deepfakestream.host.locks import exclusive
from deepfakestream.host.whole_files import remove_partials, replacing

ALGORITHM_VERSION = 8
"""Raise it when the same media, spec and weights would give other crops than before."""

_FACE_COLUMNS = (
    *("frame_index", "time_s", "track_id", "box_xyxy", "landmarks_xy", "score"),
    *("face_px", "sharpness", "luma", "yaw_deg", "pitch_deg", "roll_deg"),
)
"""Columns of the crop table that come from the picture."""
_FACE_SCHEMA = pa.schema(
    [CROP_SCHEMA.field(name) for name in ("media_id", *_FACE_COLUMNS)] + [pa.field("image", pa.binary())]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFaces:
    """What extraction found in one item."""

    media_id: str
    num_frames: int
    notes: tuple[Reason, ...]
    message: str = ""
    """Why the item could not be read; empty where it could."""
    faces: tuple[dict[str, Any], ...] = ()
    """Columns of the crop table that come from the picture, and `image`: the encoded crop."""


def face_record(crop: FaceCrop, image: bytes) -> dict[str, Any]:
    """Return a crop's facts and its encoded picture as the store keeps them.

    Args:
        crop: as found.
        image: its picture as PNG or JPEG.
    """
    return {
        "frame_index": crop.frame_index,
        "time_s": crop.time_s,
        "track_id": crop.track_id,
        "box_xyxy": [float(value) for value in crop.box_xyxy],
        "landmarks_xy": [float(value) for value in crop.landmarks_xy.ravel()],
        "score": crop.score,
        "face_px": crop.face_px,
        "sharpness": crop.sharpness,
        "luma": crop.luma,
        "yaw_deg": crop.pose and crop.pose.yaw_deg,
        "pitch_deg": crop.pose and crop.pose.pitch_deg,
        "roll_deg": crop.pose and crop.pose.roll_deg,
        "image": image,
    }


def store_key(spec: ExtractionSpec, *, detector_digest: str, is_crop: bool) -> str:
    """Return the name of the folder for results of this kind.

    Face crops are taken whole: no detector and no frame sampling has a say, so changing those keeps them.

    Args:
        spec: how faces are cut.
        detector_digest: digest of weights and algorithm.
        is_crop: whether the items are face crops already.
    """
    facts: dict[str, Any] = {"algorithm": ALGORITHM_VERSION, "crop_size_px": spec.crop_size_px}
    if not is_crop:
        facts |= asdict(spec) | {"detector_digest": detector_digest}
    text = json.dumps(facts, sort_keys=True)
    return ("crop-" if is_crop else "media-") + sha256(text.encode()).hexdigest()[:20]


class FaceStore:
    """Results of one spec, detector and kind."""

    def __init__(self, root: Path, key: str) -> None:
        self._dir = root / key

    def index(self, known: Mapping[str, Path] | None = None) -> dict[str, Path]:
        """Return the file that holds each stored item, by media id, less what a kill left half-written.

        Args:
            known: an earlier index; its files are not opened again.
        """
        self._dir.mkdir(parents=True, exist_ok=True)
        remove_partials(self._dir)
        found = dict(known or {})
        seen = set(found.values())
        for path in self._files():
            if path not in seen:
                for media_id in _read_items(path):
                    found.setdefault(media_id, path)
        return found

    def commit(self, batch: Sequence[StoredFaces]) -> Path:
        """Store the results of a batch in one step and return the file."""
        name = sha256("".join(item.media_id for item in batch).encode()).hexdigest()
        items = {
            item.media_id: {
                "num_frames": item.num_frames,
                "notes": [str(note) for note in item.notes],
                "message": item.message,
            }
            for item in batch
        }
        rows = [{"media_id": item.media_id, **face} for item in batch for face in item.faces]
        path = self._dir / name[:2] / f"{name}.arrow"
        _write(path, items, pa.Table.from_pylist(rows, schema=_FACE_SCHEMA))
        return path

    def drop(self, media_ids: Collection[str]) -> int:
        """Remove items and return how many were there.

        A file is replaced or deleted in one step: after a kill in between, dropping again removes the rest.
        """
        if not self._dir.is_dir():
            return 0
        remove_partials(self._dir)
        num_dropped = 0
        for path in self._files():
            unwanted = _read_items(path).keys() & set(media_ids)
            if unwanted:
                _rewrite_without(path, unwanted)
                num_dropped += len(unwanted)
        return num_dropped

    def _files(self) -> list[Path]:
        return sorted(self._dir.glob("*/*.arrow"))


def exclusive_store(store_dir: Path) -> AbstractContextManager[None]:
    """Hold the lock of a face store, so that one process at a time fills it or drops items from it.

    Raises:
        DataError: another process holds it.
    """
    return exclusive(store_dir / ".lock", doing="extracting faces or forgetting items")


def drop_everywhere(store_dir: Path, media_ids: Collection[str]) -> int:
    """Remove items from the results of every spec and detector; return how many entries were there.

    Args:
        store_dir: folder of the face store.
        media_ids: ids of the items.

    Raises:
        DataError: an extraction is running, which could put them back.
    """
    if not store_dir.is_dir():
        return 0
    with exclusive_store(store_dir):
        folders = sorted(path for path in store_dir.iterdir() if path.is_dir())
        return sum(FaceStore(store_dir, folder.name).drop(media_ids) for folder in folders)


def _write(path: Path, items: Mapping[str, Any], faces: pa.Table) -> None:
    described = faces.replace_schema_metadata({"items": json.dumps(items)})
    with replacing(path) as partial, pa.ipc.new_file(partial, described.schema) as writer:
        writer.write_table(described)


def _rewrite_without(path: Path, unwanted: Collection[str]) -> None:
    kept = {media_id: facts for media_id, facts in _read_items(path).items() if media_id not in unwanted}
    faces = _faces(path)
    if kept:
        wanted = pc.is_in(faces.column("media_id"), pa.array(list(kept), pa.string()))
        _write(path, kept, faces.filter(wanted))
    else:
        path.unlink(missing_ok=True)
    for cached in (_read_items, _faces, _extents):
        cached.cache_clear()


def read_stored(path: Path, media_id: str) -> StoredFaces:
    """Return one item's result from the file that holds it.

    Args:
        path: the file.
        media_id: id of the item.
    """
    facts = _read_items(path)[media_id]
    table = _faces(path)
    start, length = _extents(path).get(media_id, (0, 0))
    faces = table.slice(start, length).drop_columns(["media_id"]).to_pylist()
    return StoredFaces(
        media_id=media_id,
        num_frames=facts["num_frames"],
        notes=tuple(Reason(note) for note in facts["notes"]),
        message=facts["message"],
        faces=tuple(faces),
    )


@lru_cache(maxsize=1024)
def _read_items(path: Path) -> Mapping[str, Any]:
    with pa.memory_map(str(path)) as source:
        metadata = pa.ipc.open_file(source).schema.metadata
    items: dict[str, Any] = json.loads(metadata[b"items"])
    return items


@lru_cache(maxsize=4)  # what is mapped and was read counts as memory of this process
def _faces(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


@lru_cache(maxsize=1024)
def _extents(path: Path) -> dict[str, tuple[int, int]]:
    extents: dict[str, tuple[int, int]] = {}
    for row, media_id in enumerate(_faces(path).column("media_id").to_pylist()):
        start, length = extents.get(media_id, (row, 0))
        extents[media_id] = (start, length + 1)
    return extents
