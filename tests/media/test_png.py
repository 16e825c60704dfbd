"""PNGs with long texts, large profiles, broken side information; BMPs whose alpha was never written."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.picture_blocks import MAX_CHUNKS
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode


def read(path):
    return sample_frames(path, num_frames=1, budget=MediaBudget())


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rgb, *extra, behind=()):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(extra) + data[33:-12] + b"".join(behind) + data[-12:]


LONG = b"word " * 500_000
TEXTS = {
    "plain": chunk(b"tEXt", b"prompt\0" + LONG),
    "compressed": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(LONG)),
    "international": chunk(b"iTXt", b"prompt\0\0\0\0\0" + LONG),
    "international, compressed": chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(LONG)),
    "many": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(LONG[:900_000])) * 100,
    "broken": chunk(b"zTXt", b"prompt\0\0" + b"no zlib"),
    "without keyword": chunk(b"tEXt", b"x" * 80),
    "wrong check sum": chunk(b"tEXt", b"a\0b")[:-4] + b"nope",
    "unknown with wrong check sum": chunk(b"prVt", b"abc")[:-4] + b"nope",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_behind", [False, True])
def test_texts_beside_the_pixels_do_not_matter(tmp_path, astronaut, text, is_behind):
    path = tmp_path / "a.png"
    extra = () if is_behind else (TEXTS[text],)
    path.write_bytes(png(astronaut, *extra, behind=(TEXTS[text],) if is_behind else ()))
    sample = read(path)
    assert np.array_equal(sample.frames[0].rgb, astronaut)
    assert sample.reasons == ()


def test_the_orientation_beside_a_long_text_is_applied(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "a.png"
    path.write_bytes(
        png(astronaut, TEXTS["compressed"], chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    )
    assert np.array_equal(read(path).frames[0].rgb, astronaut[::-1, ::-1])


def test_a_long_profile_does_not_make_a_picture_unreadable(tmp_path, astronaut):
    for length in (2_000_000, 40_000_000):
        profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(length)))
        path = tmp_path / "a.png"
        path.write_bytes(png(astronaut, profile))
        assert np.array_equal(read(path).frames[0].rgb, astronaut)


def test_more_chunks_than_any_encoder_writes_are_refused(tmp_path, astronaut):
    path = tmp_path / "a.png"
    path.write_bytes(png(astronaut[:8, :8], chunk(b"prVt", b"") * (MAX_CHUNKS + 1)))
    with pytest.raises(MediaError, match="chunks") as caught:
        read(path)
    assert caught.value.reason is Reason.UNREADABLE


def bmp(rgb, alpha):
    """A BMP of 32 bits with a mask for alpha, as screen recorders write it."""
    height, width = rgb.shape[:2]
    pixels = np.dstack([rgb[::-1, :, ::-1], np.full((height, width), alpha, dtype=np.uint8)]).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0) + masks
    header = header.ljust(108, b"\0")
    return struct.pack("<2sIHHI", b"BM", 14 + 108 + len(pixels), 0, 0, 122) + header + pixels


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_of_a_bmp_that_is_nowhere_set_is_ignored(tmp_path, astronaut, alpha):
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp(astronaut, alpha))
    sample = read(path)
    assert np.array_equal(sample.frames[0].rgb, astronaut)
    assert (NoteCode.ALPHA_IGNORED in {note.code for note in sample.notes}) == (alpha == 0)


def test_a_png_that_is_all_transparent_shows_nothing(tmp_path, astronaut):
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([astronaut, np.zeros((512, 512), dtype=np.uint8)])).save(path)
    assert (read(path).frames[0].rgb == 255).all()


@pytest.mark.parametrize("is_damaged", [True, False])
def test_pixels_whose_check_sum_does_not_match_are_reported(tmp_path, is_damaged):
    """Pillow decodes them all the same."""
    rgb = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    data = bytearray(png(rgb))
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"IDAT"]
    length = int.from_bytes(data[starts[0] - 4 : starts[0]], "big")
    data[starts[0] + 4 + length : starts[0] + 8 + length] = b"nope"
    path.write_bytes(data if is_damaged else png(rgb))
    sample = read(path)
    assert np.array_equal(sample.frames[0].rgb, rgb)
    assert sample.reasons == ((Reason.TRUNCATED,) if is_damaged else ())
