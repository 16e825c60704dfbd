"""The crop store: every face crop of the dataset, packed in shards, with one table that describes them.

`crops.parquet` has one row a crop (`data.columns.CROP_COLUMNS`), `crops/shard-00000.arrow` the pictures. The
shards are uncompressed Arrow files (the pictures are compressed already), mapped into memory: a row is read
without its neighbours, and a shard costs no memory until it is touched. Pictures are stored as PNG, or as the
source's own JPEG bytes where the source was a crop of the right size: no second lossy step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepfakestream.data.columns import CROP_COLUMNS
from deepfakestream.errors import DataError
from deepfakestream.media.types import RGBImage

TABLE_FILE = "crops.parquet"
SHARD_DIR = "crops"
ROWS_PER_GROUP = 8192
"""Rows of the table that are held until they are written: about 25 MB."""

_TYPES = {
    "frame_index": pa.int32(),
    "time_s": pa.float64(),
    "track_id": pa.int32(),
    "box_xyxy": pa.list_(pa.float32()),
    "landmarks_xy": pa.list_(pa.float32()),
    "score": pa.float32(),
    "face_px": pa.float32(),
    "sharpness": pa.float32(),
    "luma": pa.float32(),
    "yaw_deg": pa.float32(),
    "pitch_deg": pa.float32(),
    "roll_deg": pa.float32(),
    "row": pa.int32(),
}
CROP_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in CROP_COLUMNS])
_SHARD_SCHEMA = pa.schema([("crop_id", pa.string()), ("image", pa.binary())])


class CropWriter:
    """Writes crops in the order in which they are added; the same crops give the same bytes.

    Use it as a context manager: the table is complete when the block ends without an error. Memory is bounded
    by a shard of pictures and a group of rows, however many crops there are.
    """

    def __init__(self, extract_dir: Path, *, shard_size: int) -> None:
        self._dir = extract_dir
        self._shard_size = shard_size
        self._rows: list[dict[str, Any]] = []
        self._pending: list[tuple[str, bytes]] = []
        self._num_crops = 0
        self._num_shards = 0
        (extract_dir / SHARD_DIR).mkdir(parents=True, exist_ok=True)
        self._table = pq.ParquetWriter(extract_dir / TABLE_FILE, CROP_SCHEMA, compression="zstd")

    @property
    def num_crops(self) -> int:
        """Crops added so far."""
        return self._num_crops

    def add(self, row: Mapping[str, Any], image: bytes) -> None:
        """Add one crop: its columns but `crop_sha256`, `shard` and `row`, and its encoded picture.

        Args:
            row: columns of the crop table.
            image: bytes of a picture file.
        """
        self._rows.append(
            {
                **row,
                "crop_sha256": sha256(image).hexdigest(),
                "shard": _shard_name(self._num_shards),
                "row": len(self._pending),
            }
        )
        self._pending.append((row["crop_id"], image))
        self._num_crops += 1
        if len(self._pending) == self._shard_size:
            self._write_shard()
        if len(self._rows) == ROWS_PER_GROUP:
            self._write_rows()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._pending:
                self._write_shard()
            if self._rows:
                self._write_rows()
        self._table.close()
        if kind is not None:
            (self._dir / TABLE_FILE).unlink()

    def _write_rows(self) -> None:
        self._table.write_table(pa.Table.from_pylist(self._rows, schema=CROP_SCHEMA))
        self._rows = []

    def _write_shard(self) -> None:
        ids, images = zip(*self._pending, strict=True)
        table = pa.table({"crop_id": ids, "image": images}, schema=_SHARD_SCHEMA)
        with pa.ipc.new_file(self._dir / SHARD_DIR / _shard_name(self._num_shards), _SHARD_SCHEMA) as writer:
            writer.write_table(table)
        self._pending = []
        self._num_shards += 1


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}.arrow"


class CropReader:
    """Random access to the pictures of a crop store; may be sent to other processes.

    A shard is mapped when it is first read and stays mapped as long as the reader lives.
    """

    def __init__(self, extract_dir: Path) -> None:
        self._dir = extract_dir
        self._images: dict[str, Any] = {}

    def read_bytes(self, shard: str, row: int) -> bytes:
        """Return the encoded picture in a row of a shard.

        Args:
            shard: name of its file.
            row: number in the shard.

        Raises:
            DataError: the shard is missing or damaged.
        """
        if shard not in self._images:
            path = self._dir / SHARD_DIR / shard
            try:
                with pa.memory_map(str(path)) as source:
                    table = pa.ipc.open_file(source).read_all()
            except (FileNotFoundError, pa.ArrowInvalid, OSError) as error:
                raise DataError(
                    f"{path}: missing or damaged ({error}); run 'dvc repro --force extract'"
                ) from error
            self._images[shard] = table.column("image").combine_chunks()
        encoded: bytes = self._images[shard][row].as_py()
        return encoded

    def read(self, shard: str, row: int) -> RGBImage:
        """Return the picture in a row of a shard, `(size, size, 3)` RGB.

        Args:
            shard: name of its file.
            row: number in the shard.

        Raises:
            DataError: the shard is missing or damaged.
        """
        return decode_image(self.read_bytes(shard, row), name=f"{self._dir / SHARD_DIR / shard}, row {row}")

    def __getstate__(self) -> dict[str, Any]:
        return {"_dir": self._dir, "_images": {}}


def read_crop_table(extract_dir: Path) -> pd.DataFrame:
    """Return one row a crop with `CROP_COLUMNS`, ordered by item, frame and track.

    Raises:
        DataError: the faces have not been extracted, or the table is damaged.
    """
    path = extract_dir / TABLE_FILE
    if not path.exists():
        raise DataError(f"{path}: missing; extract the faces with 'dvc repro extract'")
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path}: damaged ({error}); make it again with 'dvc repro --force extract'"
        ) from error
    missing = [name for name in CROP_COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"{path}: lacks the columns {', '.join(missing)}; run 'dvc repro --force extract'")
    return frame


def read_images(extract_dir: Path, rows: pd.DataFrame) -> Iterator[RGBImage]:
    """Yield the pictures of rows of the crop table, in the order of the rows, `(size, size, 3)` RGB.

    Args:
        extract_dir: folder that extraction wrote.
        rows: rows of the crop table.

    Raises:
        DataError: a shard is missing or damaged.
    """
    reader = CropReader(extract_dir)
    for shard, row in zip(rows["shard"], rows["row"], strict=True):
        yield reader.read(shard, int(row))


def encode_image(rgb: RGBImage) -> bytes:
    """Return a picture as PNG bytes: without loss, so that no compression artefact is added.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
    """
    done, encoded = cv2.imencode(
        ".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    assert done, "an 8-bit RGB picture can always be encoded"
    return bytes(encoded.tobytes())


def decode_image(encoded: bytes, *, name: str) -> RGBImage:
    """Return encoded bytes as a picture, `(height, width, 3)` RGB.

    Args:
        encoded: bytes of a picture file.
        name: for the message.

    Raises:
        DataError: the bytes are no picture; the message gives `name`.
    """
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DataError(f"{name}: not a picture; make the crops again with 'dvc repro --force extract'")
    return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
