"""What training may see: not what validation set aside, not a fake's passers-by."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfakestream.data.crop_store import CROP_SCHEMA
from deepfakestream.data.usable_crops import QUARANTINED_FILE, read_usable_crops

ROWS = [
    # media, track, face_px, label, split
    ("fake-train", 0, 120, "fake", "train"),
    ("fake-train", 1, 40, "fake", "train"),
    ("fake-val", 0, 120, "fake", "val"),
    ("fake-val", 1, 40, "fake", "val"),
    ("real-train", 0, 120, "real", "train"),
    ("real-train", 1, 40, "real", "train"),
]


@pytest.fixture
def artifacts(tmp_path):
    rows = [
        dict.fromkeys(CROP_SCHEMA.names)
        | {
            "crop_id": f"{media}:0:{track}",
            "media_id": media,
            "track_id": track,
            "face_px": float(face_px),
            "label": label,
            "split": split,
        }
        for media, track, face_px, label, split in ROWS
    ]
    for folder in ("extract", "validate"):
        (tmp_path / folder).mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=CROP_SCHEMA), tmp_path / "extract" / "crops.parquet")
    return tmp_path


def excluded_crops(artifacts, *crop_ids):
    table = pd.DataFrame({"crop_id": pd.Series(crop_ids, dtype="str")})
    table.to_parquet(artifacts / "validate" / QUARANTINED_FILE)


def test_a_fakes_passer_by_is_no_fake_to_learn_from(artifacts):
    excluded_crops(artifacts)
    usable = read_usable_crops(artifacts)
    assert sorted({row[0] + f":0:{row[1]}" for row in ROWS} - set(usable["crop_id"])) == ["fake-train:0:1"]
    assert list(usable.index) == list(range(5))


def test_what_validation_set_aside_stays_away(artifacts):
    excluded_crops(artifacts, "real-train:0:0", "fake-train:0:0")
    left = read_usable_crops(artifacts)
    assert sorted(left["crop_id"]) == ["fake-val:0:0", "fake-val:0:1", "real-train:0:1"]
