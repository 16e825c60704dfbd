"""Pictures of every kind come out upright, 8 bit, RGB; what cannot be read has a reason."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from media_info import info_of
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget

LEFT_RED = np.zeros((20, 30, 3), dtype=np.uint8)
LEFT_RED[:, :15, 0] = 255
"""Red left half, black right half: 30 wide, 20 high."""


def read(path, budget=None):
    sample = sample_frames(path, num_frames=4, budget=budget or MediaBudget())
    assert len(sample.frames) == 1
    assert sample.info.kind == "image"
    rgb = sample.frames[0].rgb
    assert rgb.dtype == np.uint8
    assert rgb.shape == (sample.info.height_px, sample.info.width_px, 3)
    return sample


def huge_png(path, width, height):
    """A valid header that announces a large picture, and no picture."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
    return path


@pytest.mark.parametrize(
    ("orientation", "red_side"),
    [
        (1, "left"),
        (2, "right"),
        (3, "right"),
        (4, "left"),
        (5, "top"),
        (6, "top"),
        (7, "bottom"),
        (8, "bottom"),
        (99, "left"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "avif"])
def test_exif_orientation_is_applied(tmp_path, orientation, red_side, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    options = {
        "jpg": {"quality": 100, "subsampling": 0},
        "webp": {"lossless": True},
        "avif": {"quality": 100},
    }
    Image.fromarray(LEFT_RED).save(path, exif=exif, **options.get(suffix, {}))
    sample = read(path)
    rgb = sample.frames[0].rgb
    assert (sample.info.height_px, sample.info.width_px) == rgb.shape[:2]
    halves = {"left": rgb[:, :5], "right": rgb[:, -5:], "top": rgb[:5], "bottom": rgb[-5:]}
    assert halves[red_side][..., 0].min() > 235
    assert rgb.shape[:2] == ((20, 30) if red_side in ("left", "right") else (30, 20))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "avif", "jpg", "gif"])
def test_formats_agree(tmp_path, suffix, astronaut):
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix in ("jpg", "avif") else {}
    Image.fromarray(astronaut).save(path, **options)
    difference = np.abs(read(path).frames[0].rgb.astype(int) - astronaut).mean()
    assert difference < {"jpg": 2, "avif": 2.5, "gif": 12}.get(suffix, 1e-9)


def test_16_bit_grey_keeps_its_range(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    path = tmp_path / "g.png"
    Image.fromarray(levels).save(path)
    assert read(path).frames[0].rgb[0, :, 1].tolist() == [0, 1, 128, 255]


def test_8_bit_grey_and_one_bit_become_rgb(tmp_path):
    Image.fromarray(np.array([[0, 200]], dtype=np.uint8)).save(tmp_path / "l.png")
    assert read(tmp_path / "l.png").frames[0].rgb[0].tolist() == [[0, 0, 0], [200, 200, 200]]
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "b.png")
    assert read(tmp_path / "b.png").frames[0].rgb[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_cmyk_becomes_rgb(tmp_path, astronaut):
    path = tmp_path / "c.jpg"
    Image.fromarray(astronaut).convert("CMYK").save(path, quality=95)
    assert np.abs(read(path).frames[0].rgb.astype(int) - astronaut).mean() < 2


def test_transparent_pixels_show_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").frames[0].rgb[0].tolist() == [
        [255, 0, 0],
        [255, 255, 255],
        [127, 127, 127],
    ]
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.info["transparency"] = 1
    palette.save(tmp_path / "p.png", transparency=1)
    assert read(tmp_path / "p.png").frames[0].rgb[0].tolist() == [[255, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 95, 100])
def test_jpeg_quality_is_read_from_the_tables(tmp_path, astronaut, quality):
    path = tmp_path / "q.jpg"
    Image.fromarray(astronaut[:64, :64]).save(path, quality=quality)
    assert info_of(path).jpeg_quality == pytest.approx(quality, abs=1)


def test_only_a_jpeg_has_a_quality(tmp_path):
    Image.fromarray(LEFT_RED).save(tmp_path / "a.png")
    assert info_of(tmp_path / "a.png").jpeg_quality is None


def test_cut_jpeg_gives_its_upper_part_and_a_note(astronaut_jpg, tmp_path, astronaut):
    path = tmp_path / "cut.jpg"
    path.write_bytes(astronaut_jpg.read_bytes()[:40_000])
    sample = sample_frames(path, num_frames=1, budget=MediaBudget())
    assert sample.reasons == (Reason.TRUNCATED,)
    assert np.abs(sample.frames[0].rgb[:100].astype(int) - astronaut[:100]).mean() < 3


@pytest.mark.parametrize(("mode", "orientation"), [("RGB", 1), ("RGB", 6), ("L", 1), ("CMYK", 1)])
def test_rows_that_a_cut_jpeg_lacks_are_left_out(tmp_path, astronaut, mode, orientation):
    """libjpeg would fill them with grey, and a face that reaches into it would be scored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "cut.jpg"
    Image.fromarray(astronaut).convert(mode).save(path, quality=90, exif=exif)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rgb = sample_frames(path, num_frames=1, budget=MediaBudget()).frames[0].rgb
    upright = np.rot90(rgb) if orientation == 6 else rgb
    rows = len(upright)
    assert 150 < rows < 400
    assert upright.shape == (rows, 512, 3)
    whole = np.asarray(Image.fromarray(astronaut).convert(mode).convert("RGB")).astype(int)
    assert np.abs(upright[: rows - 16].astype(int) - whole[: rows - 16]).mean() < 5
    assert (upright[-1] != upright[-1, -1]).any()


def test_a_cut_jpeg_of_one_colour_stays_whole(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.new("RGB", (64, 48), (200, 200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert read(path).reasons == (Reason.TRUNCATED,)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_other_cut_pictures_are_refused(tmp_path, astronaut, suffix):
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(astronaut).save(whole)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(MediaError, match="damaged") as caught:
        sample_frames(path, num_frames=1, budget=MediaBudget())
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(("width", "height"), [(7000, 7000), (12000, 12000), (60000, 60000)])
def test_bombs_are_refused_by_their_header(tmp_path, width, height):
    path = huge_png(tmp_path / "bomb.png", width, height)
    with pytest.raises(MediaError, match="limit of 40000000 pixels") as caught:
        info_of(path)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_a_bomb_is_reported_by_us_alone(tmp_path):
    """Pillow's own warning would stand before our sentence, in the terminal and in the service's log."""
    huge_png(tmp_path / "bomb.png", 12000, 12000)
    code = (
        "import pathlib, sys\n"
        "from deepfakestream.media.reader import open_media\n"
        "from deepfakestream.media.types import MediaBudget\n"
        "with open_media(pathlib.Path(sys.argv[1]), MediaBudget(max_pixels=10**9)): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.png")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_pixels_at_the_limit_pass(tmp_path):
    Image.fromarray(LEFT_RED).save(tmp_path / "a.png")
    read(tmp_path / "a.png", MediaBudget(max_pixels=600))
    with pytest.raises(MediaError, match="30 x 20 pixels exceed"):
        info_of(tmp_path / "a.png", MediaBudget(max_pixels=599))


def test_numbers_without_a_range_are_refused(tmp_path):
    path = tmp_path / "f.tif"
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    with pytest.raises(MediaError, match="32-bit") as caught:
        sample_frames(path, num_frames=1, budget=MediaBudget())
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


def test_one_pixel_is_a_picture(tmp_path):
    Image.fromarray(np.zeros((1, 1, 3), dtype=np.uint8)).save(tmp_path / "dot.png")
    assert read(tmp_path / "dot.png").frames[0].rgb.shape == (1, 1, 3)
