"""Planted leaks are found, other people and other photographs are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from deepfakestream.data.crop_store import CropWriter, encode_image, read_crop_table
from deepfakestream.data.validation.alignment import similarity
from deepfakestream.data.validation.contact_sheet import write_contact_sheet
from deepfakestream.data.validation.fingerprints import NUM_BITS, NUM_VIEWS, NUM_WORDS, fingerprints
from deepfakestream.data.validation.near_duplicates import PAIR_COLUMNS, find_near_duplicates
from deepfakestream.data.validation.near_pairs import candidate_pairs, key_length
from deepfakestream.data.versioning.object_traces import mentions
from deepfakestream.faces.types import FaceDetector
from deepfakestream.media.types import RGBImage

SIDE = 160
MIN_SIMILARITY = 0.85
Change = Callable[[RGBImage], RGBImage]


def resized(rgb: RGBImage, side: int = SIDE) -> RGBImage:
    return np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def jpeg(rgb: RGBImage, quality: int) -> RGBImage:
    encoded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def turned(rgb: RGBImage) -> RGBImage:
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 2, 1)
    moved = cv2.warpAffine(rgb, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


LEAKS: dict[str, Change] = {
    "exact copy": lambda rgb: rgb,
    "JPEG 40": lambda rgb: jpeg(rgb, 40),
    "half the size": lambda rgb: resized(resized(rgb, 80)),
    "a third of the size, JPEG 60": lambda rgb: jpeg(resized(rgb, 54), 60),
    "mirrored": lambda rgb: np.ascontiguousarray(rgb[:, ::-1]),
    "5 % cut off": lambda rgb: resized(rgb[4:-4, 4:-4]),
    "10 % cut off": lambda rgb: resized(rgb[8:-8, 8:-8]),
    "5 % cut off a corner": lambda rgb: resized(rgb[8:, 8:]),
    "5 % cut off a side": lambda rgb: resized(rgb[:, 8:]),
    "cut off askew": lambda rgb: resized(rgb[2:-3, 4:-1]),
    "mirrored, cut, JPEG 50": lambda rgb: jpeg(resized(rgb[4:-4, 4:-4][:, ::-1]), 50),
    "brighter": lambda rgb: np.clip(rgb.astype(int) + 30, 0, 255).astype(np.uint8),
    "gamma": lambda rgb: (255 * (rgb / 255) ** 0.7).astype(np.uint8),
    "turned by 2 degrees": turned,
}


@pytest.fixture(scope="module")
def people(sample_media: Path, detector: FaceDetector, astronaut: RGBImage) -> list[RGBImage]:
    """One crop each of about a dozen people."""
    found = [astronaut[40:200, 150:310]]
    for path in sorted(sample_media.glob("*.jpg")):
        rgb = cv2.imread(str(path))[:, :, ::-1]
        for face in detector.detect([np.ascontiguousarray(rgb)])[0]:
            left, top, right, bottom = (int(value) for value in face.box_xyxy)
            if min(right - left, bottom - top) >= 60 and left >= 0 and top >= 0:
                found.append(resized(np.ascontiguousarray(rgb[top:bottom, left:right])))
    return found


def write_set(folder: Path, pictures: dict[tuple[str, str], list[RGBImage]]) -> pd.DataFrame:
    """Write items with a name and a split; return the manifest's columns that the gate needs."""
    rows = []
    with CropWriter(folder, shard_size=8) as writer:
        for number, ((name, split), frames) in enumerate(pictures.items()):
            item = {"media_id": f"{number:064x}", "label": "real", "manipulation": "none"}
            item |= {"group_id": name, "identity": None, "split": split, "source": "set"}
            rows.append(item | {"original_name": name})
            for frame, rgb in enumerate(frames):
                face = {"crop_id": f"{item['media_id']}:{frame}:0", "frame_index": frame, "track_id": 0}
                writer.add(item | face, encode_image(rgb))
    return pd.DataFrame(rows)


def pairs_in(folder: Path, manifest: pd.DataFrame) -> pd.DataFrame:
    crops = read_crop_table(folder)
    return find_near_duplicates(crops, manifest, folder, min_similarity=MIN_SIMILARITY)


def test_every_planted_leak_is_found_and_nobody_else(people: list[RGBImage], tmp_path: Path) -> None:
    assert len(people) >= 8
    pictures: dict[tuple[str, str], list[RGBImage]] = {}
    for number, rgb in enumerate(people):
        pictures[f"person {number}", "train"] = [rgb]
        for name, change in LEAKS.items():
            pictures[f"person {number}, {name}", "val"] = [change(rgb)]
    found = pairs_in(tmp_path, write_set(tmp_path, pictures))
    expected = {(f"set/person {n}", f"set/person {n}, {name}") for n in range(len(people)) for name in LEAKS}
    pairs = set(zip(found["aside_name"], found["kept_name"], strict=True))
    assert pairs - expected == set()
    assert expected - pairs == set()
    assert set(found["aside_split"]) == {"train"}


def test_a_person_seen_from_another_side_is_no_near_duplicate(astronaut: RGBImage, tmp_path: Path) -> None:
    """The same person in two splits is for the manifest's identity to say; this gate looks for pictures."""
    still = resized(astronaut[40:200, 150:310])
    corners = np.array([[0, 0], [159, 0], [159, 159], [0, 159]], np.float32)
    turned_corners = np.array([[40, 12], [159, -20], [150, 180], [25, 140]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, turned_corners)
    side_view = np.asarray(cv2.warpPerspective(still, matrix, (SIDE, SIDE)), dtype=np.uint8)
    manifest = write_set(tmp_path, {("front", "train"): [still], ("side", "val"): [side_view]})
    assert pairs_in(tmp_path, manifest).empty


def test_another_frame_of_a_clip_is_found_and_the_held_out_side_stays(
    astronaut: RGBImage, tmp_path: Path
) -> None:
    """The view pans by a pixel a frame; every other frame goes to another split under another name."""
    frames = [resized(astronaut[40 + i : 200 + i, 150 + i : 310 + i]) for i in range(8)]
    manifest = write_set(
        tmp_path,
        {
            ("clip.mp4", "test"): frames[::2],
            ("copy.mp4", "train"): frames[1::2],
            ("again.mp4", "val"): frames[1:3],
        },
    )
    found = pairs_in(tmp_path, manifest)
    sides = set(zip(found["aside_name"], found["kept_name"], strict=True))
    assert sides == {
        ("set/copy.mp4", "set/clip.mp4"),
        ("set/copy.mp4", "set/again.mp4"),
        ("set/again.mp4", "set/clip.mp4"),
    }
    assert found["num_crops"].max() > 1
    sheet = tmp_path / "sheet.png"
    write_contact_sheet(sheet, found, read_crop_table(tmp_path), tmp_path)
    assert cv2.imread(str(sheet)).shape[1] > 2 * 3 * 112
    with sheet.open("rb") as content:
        assert mentions(content, [manifest["media_id"].iloc[0]])
    with sheet.open("rb") as content:
        assert not mentions(content, ["f" * 64])


def test_within_a_split_nothing_is_a_leak(astronaut: RGBImage, tmp_path: Path) -> None:
    face = resized(astronaut[40:200, 150:310])
    found = pairs_in(tmp_path, write_set(tmp_path, {("a", "train"): [face], ("b", "train"): [face]}))
    assert list(found.columns) == list(PAIR_COLUMNS)
    assert found.empty


def test_many_equal_blanks_are_passed_over(tmp_path: Path) -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    pictures = {(f"{n}", ("train", "val")[n % 2]): [black] for n in range(20)}
    assert pairs_in(tmp_path, write_set(tmp_path, pictures)).empty


def test_a_fingerprint_has_a_row_a_view_and_keeps_its_bits(astronaut: RGBImage) -> None:
    gray = cv2.cvtColor(astronaut[40:200, 150:310], cv2.COLOR_RGB2GRAY)
    prints = fingerprints(gray)
    assert prints.shape == (1 + NUM_VIEWS, NUM_WORDS)
    assert (fingerprints(np.ascontiguousarray(gray[:, ::-1]))[1] == prints[0]).all()
    assert 0.2 < np.bitwise_count(prints[1]).sum() / NUM_BITS < 0.8
    assert similarity(gray, gray) == pytest.approx(1.0, abs=1e-4)


def test_alike_fingerprints_are_found_among_many() -> None:
    generator = np.random.default_rng(1)
    count, planted = 20_000, 200
    prints = generator.integers(0, 2**63, (count, 1 + NUM_VIEWS, NUM_WORDS), dtype=np.uint64)
    codes = np.zeros(count, np.int8)
    codes[-planted:] = 1
    for number in range(planted):
        prints[-1 - number, 1] = prints[number, 1]
        for bit in generator.choice(NUM_BITS, NUM_BITS // 25, replace=False):
            prints[-1 - number, 1, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    found = {tuple(pair) for pair in candidate_pairs(prints, codes).tolist()}
    wanted = {(number, count - 1 - number) for number in range(planted)}
    assert len(wanted & found) >= 0.99 * planted
    assert found <= wanted


def test_keys_grow_with_the_logarithm_of_the_set() -> None:
    assert [key_length(n) for n in (1, 1_000, 16_000, 1_000_000, 10**12)] == [16, 16, 20, 26, 32]
