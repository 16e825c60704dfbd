"""The benchmark over data sets: which clips it takes, how it encodes them again, that it goes on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest

from infra.cross_set.__main__ import read_clips, scan_clips
from infra.cross_set.re_encode import CONDITIONS, re_encode

COLUMNS = (*("file", "label", "method", "family", "person", "pair", "repo", "source_identity", "trust"),)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a clip of 12 frames of 97 x 64 noise at 10 frames a second, almost lossless."""
    path = tmp_path / "data" / "a.mkv"
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 97, 64, "yuv444p"
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (64, 97, 3), dtype=np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("condition", "size"),
    [("crf23", (96, 64)), ("crf40", (96, 64)), ("half", (48, 32)), ("chain", (48, 30))],
)
def test_a_copy_has_all_frames_at_their_times(
    tmp_path: Path, clip: Path, condition: str, size: tuple[int, int]
) -> None:
    copy = tmp_path / "copies" / "a.mp4"
    re_encode(clip, condition, copy)
    with av.open(str(copy)) as container:
        frames = list(container.decode(video=0))
    assert [round(float(frame.time), 3) for frame in frames] == [round(0.1 * k, 3) for k in range(12)]
    assert (frames[0].width, frames[0].height) == size
    assert copy.stat().st_size < clip.stat().st_size
    assert [path.name for path in copy.parent.iterdir()] == ["a.mp4"]


def test_harsher_encodings_are_smaller(tmp_path: Path, clip: Path) -> None:
    sizes = []
    for condition in ("crf23", "crf32", "crf40"):
        re_encode(clip, condition, tmp_path / f"{condition}.mp4")
        sizes.append((tmp_path / f"{condition}.mp4").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


def test_a_copy_that_is_there_is_kept(tmp_path: Path, clip: Path) -> None:
    copy = tmp_path / "a.mp4"
    copy.write_bytes(b"made before")
    re_encode(clip, next(iter(CONDITIONS)), copy)
    assert copy.read_bytes() == b"made before"


def test_clips_that_count(tmp_path: Path) -> None:
    """Trusted ones of held-out sources; of pairs only those with both members."""
    shared = {"repo": "FuxiVirtualHuman/styletalk", "trust": "A"}
    rows = [
        {"file": "real/1.mp4", "label": "real", "pair": "p1", **shared},
        {"file": "fake/1.mp4", "label": "fake", "pair": "p1", **shared},
        {"file": "real/2.mp4", "label": "real", "pair": "p2", **shared},
        {"file": "real/3.mp4", "label": "real", "pair": "", **shared},
        {"file": "fake/4.mp4", "label": "fake", "pair": "p4", **shared, "trust": "C"},
        {"file": "fake/5.mp4", "label": "fake", "pair": "p5", **shared, "repo": "used/in-training"},
    ]
    _write_manifest(tmp_path, rows)
    held_out = read_clips(tmp_path, all_sources=False)["file"].tolist()
    assert held_out == ["real/1.mp4", "fake/1.mp4", "real/2.mp4", "real/3.mp4"]
    assert read_clips(tmp_path, all_sources=True)["file"].tolist() == [*held_out, "fake/5.mp4"]
    pairs = read_clips(tmp_path, all_sources=True, only_pairs=True)
    assert pairs["file"].tolist() == ["real/1.mp4", "fake/1.mp4"]


def test_scans_go_on_where_they_were_stopped(tmp_path: Path, clip: Path) -> None:
    record = tmp_path / "out" / "crf32" / "fast.jsonl"
    record.parent.mkdir(parents=True)
    before = {"file": "b.mp4", "p_fake": 0.25, "verdict": "likely_real"}
    record.write_text(json.dumps(before) + "\n", encoding="utf-8")
    scans = scan_clips(clip.parent, ["b.mp4", clip.name], "fast", record, condition="crf32")
    assert scans["b.mp4"] == before
    assert scans[clip.name] == {"file": clip.name, "p_fake": None, "verdict": "not_applicable"}
    assert [json.loads(line)["file"] for line in record.read_text("utf-8").splitlines()] == ["b.mp4", "a.mkv"]
    assert (record.parent / "clips" / "a.mp4").is_file()
