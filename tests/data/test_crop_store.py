from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from deepfakestream.data.columns import CROP_COLUMNS
from deepfakestream.data.crop_store import (
    CropReader,
    CropWriter,
    decode_image,
    encode_image,
    read_crop_table,
    read_images,
)
from deepfakestream.errors import DataError
from deepfakestream.media.types import RGBImage


def picture(seed: int) -> RGBImage:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def fill(directory: Path, num_crops: int, shard_size: int = 4) -> None:
    with CropWriter(directory, shard_size=shard_size) as writer:
        for i in range(num_crops):
            row = dict.fromkeys(CROP_COLUMNS) | {
                "crop_id": f"m{i}:0:0",
                "media_id": f"m{i}",
                "luma": float(i),
            }
            writer.add(row, encode_image(picture(i)))


@pytest.mark.parametrize(("num_crops", "num_shards"), [(0, 0), (1, 1), (4, 1), (5, 2), (12, 3)])
def test_shards_hold_what_was_added(num_crops: int, num_shards: int, tmp_path: Path) -> None:
    fill(tmp_path, num_crops)
    assert len(list((tmp_path / "crops").iterdir())) == num_shards
    table = read_crop_table(tmp_path)
    assert list(table.columns) == list(CROP_COLUMNS)
    assert table["crop_id"].tolist() == [f"m{i}:0:0" for i in range(num_crops)]
    for i, image in enumerate(read_images(tmp_path, table)):
        np.testing.assert_array_equal(image, picture(i))


def test_rows_are_read_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    order = [7, 0, 9, 3]
    images = list(read_images(tmp_path, read_crop_table(tmp_path).iloc[order]))
    for index, image in zip(order, images, strict=True):
        np.testing.assert_array_equal(image, picture(index))


def test_the_table_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepfakestream.data.crop_store.ROWS_PER_GROUP", 3)
    fill(tmp_path, 7)
    assert read_crop_table(tmp_path)["luma"].tolist() == list(range(7))
    assert pq.ParquetFile(tmp_path / "crops.parquet").num_row_groups == 3


def test_the_same_crops_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / name, 6)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 3
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_reader_travels_to_other_processes(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    reader = CropReader(tmp_path)
    reader.read("shard-00000.arrow", 0)
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again.read("shard-00000.arrow", 1), picture(1))


def test_an_error_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CropWriter(tmp_path, shard_size=4):
        raise RuntimeError
    with pytest.raises(DataError, match=r"crops\.parquet: missing"):
        read_crop_table(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("crops.parquet", b"torn", "damaged"),
        ("crops/shard-00000.arrow", b"torn", "missing or damaged"),
        ("crops/shard-00000.arrow", None, "missing or damaged"),
    ],
)
def test_damage_is_explained(file: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    fill(tmp_path, 1)
    rows = read_crop_table(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_images(tmp_path, rows if "shard" in file else read_crop_table(tmp_path)))


def test_bytes_that_are_no_picture_are_named() -> None:
    with pytest.raises(DataError, match=r"^shard 3: "):
        decode_image(b"nonsense", name="shard 3")
