"""Pictures as they are shown: turned and mirrored by display matrices, with square pixels, deinterlaced."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from media_info import info_of
from skimage.transform import resize

from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode
from deepfakestream.media.video_frames import orientation, square_size

ONE, FULL = 1 << 16, 1 << 30
CORNER = np.zeros((64, 96, 3), dtype=np.uint8)
CORNER[:32, :48] = 255
CORNER[32:, :48] = (0, 0, 160)
"""White top left, blue bottom left, black on the right: no two ways to lie look alike."""


def read(path, num_frames=3):
    return sample_frames(path, num_frames=num_frames, budget=MediaBudget())


def codes(sample):
    return {note.code for note in sample.notes}


def matrix(a, b, c, d, x=0, y=0):
    return [a, b, 0, c, d, 0, x, y, FULL]


WAYS = {
    "as it is": (matrix(ONE, 0, 0, ONE), lambda p: p),
    "mirrored": (matrix(-ONE, 0, 0, ONE), lambda p: p[:, ::-1]),
    "upside down and mirrored": (matrix(ONE, 0, 0, -ONE), lambda p: p[::-1]),
    "half a turn": (matrix(-ONE, 0, 0, -ONE), lambda p: np.rot90(p, 2)),
    "a turn to the right": (matrix(0, ONE, -ONE, 0), lambda p: np.rot90(p, 3)),
    "a turn to the left": (matrix(0, -ONE, ONE, 0), lambda p: np.rot90(p, 1)),
    "rows are columns": (matrix(0, ONE, ONE, 0), lambda p: p.transpose(1, 0, 2)),
    "rows are columns, half a turn": (matrix(0, -ONE, -ONE, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
    "enlarged": (matrix(3 * ONE, 0, 0, 3 * ONE), lambda p: p),
    "turned by three degrees": (matrix(round(0.9986 * ONE), 3430, -3430, round(0.9986 * ONE)), lambda p: p),
    "nothing": (matrix(0, 0, 0, 0), lambda p: p),
    "one column": (matrix(ONE, 0, 0, 0), lambda p: p),
    "on one line": (matrix(ONE, ONE, ONE, ONE), lambda p: p),
}


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("way", WAYS)
def test_a_display_matrix_is_applied_or_ignored(tmp_path, film, stream, suffix, way):
    numbers, make_upright = WAYS[way]
    sample = read(film(tmp_path / f"a.{suffix}", stream(frames=[CORNER] * 4, matrix=numbers)))
    upright = make_upright(CORNER)
    for frame in sample.frames:
        assert frame.rgb.shape == upright.shape
        assert np.abs(frame.rgb.astype(int) - upright).mean() < 6
    assert (sample.info.height_px, sample.info.width_px) == upright.shape[:2]
    assert (NoteCode.TURNED in codes(sample)) == (not np.array_equal(upright, CORNER))


def test_a_matrix_that_is_cut_off_is_ignored():
    assert orientation(b"\0" * 20) == (0, False)


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((720, 576), Fraction(16, 15), (768, 576)),
        ((720, 480), Fraction(8, 9), (720, 540)),
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),
        ((226, 320), Fraction(64, 45), (321, 320)),
        ((640, 360), None, (640, 360)),
        ((640, 360), Fraction(1, 1), (640, 360)),
        ((640, 360), Fraction(136, 135), (640, 360)),
        ((640, 360), Fraction(1, 1000), (640, 360)),
        ((6000, 6000), Fraction(2, 1), (6000, 3000)),
        ((1, 4), Fraction(1, 4), (1, 16)),
    ],
)
def test_the_size_with_square_pixels(size, aspect, expected):
    assert square_size(*size, aspect, 40_000_000) == expected


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "libx265"), ("ts", "libx264"), ("mov", "mpeg4"), ("avi", "libx264")],
)
@pytest.mark.parametrize("aspect", [Fraction(16, 9), Fraction(3, 4)])
def test_pixels_become_square(tmp_path, film, stream, astronaut, suffix, codec, aspect):
    face = astronaut[:192, 96:288]
    height = 192 if aspect > 1 else 144
    width = 108 if aspect > 1 else 192
    squeezed = np.round(255 * resize(face, (height, width), anti_aliasing=True)).astype(np.uint8)
    options = {"b:v": "3M", "crf": "12"}
    path = film(
        tmp_path / f"a.{suffix}",
        stream(frames=[squeezed] * 4, codec=codec, pixel_aspect=aspect, options=options),
    )
    sample = read(path)
    assert (sample.info.width_px, sample.info.height_px) == pytest.approx((192, 192), abs=3)
    assert sample.frames[0].rgb.shape == (sample.info.height_px, sample.info.width_px, 3)
    assert np.abs(255 * resize(sample.frames[0].rgb, face.shape[:2]) - face).mean() < 12
    assert NoteCode.STRETCHED in codes(sample)


@pytest.mark.parametrize("suffix", ["mpg", "vob", "ts", "mkv"])
def test_a_dvd_is_shown_as_wide_as_it_says(tmp_path, film, stream, suffix):
    """MPEG-2 states the shape of the picture, not of its pixels."""
    made = stream(frames=[CORNER[:64, :64]] * 4, codec="mpeg2video", pixel_aspect=Fraction(16, 9))
    info = read(film(tmp_path / f"a.{suffix}", made)).info
    assert (info.width_px, info.height_px) == (114, 64)


def test_a_turned_film_is_made_square_before_it_is_turned(tmp_path, film, stream):
    path = film(
        tmp_path / "a.mp4",
        stream(frames=[CORNER] * 4, matrix=matrix(0, ONE, -ONE, 0), pixel_aspect=Fraction(2, 1)),
    )
    info = info_of(path)
    assert (info.width_px, info.height_px) == (64, 192)
    assert read(path).frames[0].rgb.shape == (192, 64, 3)


def combed(shift_px):
    """Frames of a bar that moves; every second row is from half a frame later."""
    frames = []
    for k in range(12):
        rows = np.full((96, 128, 3), 40, dtype=np.uint8)
        for field in (0, 1):
            left = 10 + round((2 * k + field) * shift_px / 2)
            rows[field::2, left : left + 24] = 220
        frames.append(rows)
    return frames


def combing(rgb):
    """Mean difference of rows to their neighbours, over that to the next rows but one."""
    grey = rgb.astype(float).mean(axis=2)
    return np.abs(np.diff(grey, axis=0)).mean() / (np.abs(grey[2:] - grey[:-2]).mean() + 1)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {"x264-params": "interlaced=1:tff=1"}),
        ("mpg", "mpeg2video", {"flags": "+ildct+ilme", "top": "1"}),
        ("mov", "prores_ks", {"flags": "+ildct"}),
    ],
)
def test_interlaced_film_is_deinterlaced(tmp_path, film, stream, suffix, codec, options):
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
    frames = combed(6)
    path = film(
        tmp_path / f"a.{suffix}",
        stream(frames=frames, codec=codec, pix_fmt=pix_fmt, options={"b:v": "4M", **options}),
    )
    sample = read(path, num_frames=6)
    if NoteCode.DEINTERLACED not in codes(sample):
        pytest.skip(f"this build of {codec} writes no interlaced frames")
    assert combing(frames[5]) > 5
    assert max(combing(frame.rgb) for frame in sample.frames) < 1.5
    assert sample.reasons == ()


def test_progressive_film_is_not_deinterlaced(tmp_path, film, stream, greys):
    assert NoteCode.DEINTERLACED not in codes(read(film(tmp_path / "a.mp4", stream(frames=greys(10)))))
