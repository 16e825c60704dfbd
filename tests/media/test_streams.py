"""Files with several picture streams or pages: the camera's are searched, the others are reported."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode

DEFAULT = int(av.stream.Disposition.default)
COVER = int(av.stream.Disposition.attached_pic)


def read(path, num_frames=8, **budget):
    return sample_frames(path, num_frames=num_frames, budget=MediaBudget(**budget))


def notes(sample, code):
    return [note for note in sample.notes if note.code == code]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_a_preview_picture_before_the_film_is_not_the_film(tmp_path, film, stream, greys, suffix):
    preview = stream(frames=greys(1, 90, 160), codec="mjpeg", pix_fmt="yuvj420p")
    path = film(tmp_path / f"a.{suffix}", preview, stream(frames=greys(40), disposition=DEFAULT))
    sample = read(path)
    assert (sample.info.codec, sample.info.width_px, sample.info.num_frames) == ("h264", 64, 40)
    assert {frame.stream for frame in sample.frames} == {0}
    assert len(sample.frames) == 8
    assert sample.reasons == ()
    assert len(notes(sample, NoteCode.STREAM_SKIPPED)) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_cover_is_not_the_film(tmp_path, film, stream, greys, suffix):
    cover = stream(frames=greys(1, 400, 400), codec="mjpeg", pix_fmt="yuvj420p", disposition=COVER)
    sample = read(film(tmp_path / f"a.{suffix}", cover, stream(frames=greys(40))))
    assert (sample.info.codec, len(sample.frames)) == ("h264", 8)
    assert sample.reasons == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
@pytest.mark.parametrize("default", [0, 1])
def test_every_camera_is_searched_and_the_default_comes_first(tmp_path, film, stream, greys, suffix, default):
    dark, bright = greys(20), [np.full((48, 64, 3), 200 + k, dtype=np.uint8) for k in range(30)]
    streams = [
        stream(frames=frames, disposition=DEFAULT if number == default else 0)
        for number, frames in enumerate((dark, bright))
    ]
    sample = read(film(tmp_path / f"a.{suffix}", *streams))
    levels = [float(frame.rgb.mean()) > 150 for frame in sample.frames]
    is_bright_first = default == 1 or suffix == "ts"  # a transport stream marks none: the longer one
    assert levels == ([True] * 8 + [False] * 8 if is_bright_first else [False] * 8 + [True] * 8)
    assert [frame.stream for frame in sample.frames] == [0] * 8 + [1] * 8
    assert [frame.index for frame in sample.frames] == list(range(16))
    assert sample.reasons == ()


def test_slides_before_the_camera_are_searched_too(tmp_path, film, stream, greys):
    slides = stream(frames=greys(3, 90, 160), times=[0, 20, 40])
    sample = read(film(tmp_path / "a.mkv", slides, stream(frames=greys(60), disposition=DEFAULT)))
    assert [frame.stream for frame in sample.frames] == [0] * 8 + [1] * 3
    assert sample.info.width_px == 64


def test_streams_beyond_the_limit_are_reported(tmp_path, film, stream, greys):
    path = film(tmp_path / "a.mkv", *[stream(frames=greys(10)) for _ in range(4)])
    sample = read(path, max_streams=3)
    assert {frame.stream for frame in sample.frames} == {0, 1, 2}
    assert sample.reasons == (Reason.PART_NOT_SEARCHED,)
    assert len(notes(sample, NoteCode.STREAM_SKIPPED)) == 1


def unknown_codec(path, known=b"avc1"):
    """Give the first sample description of an MP4 a name that no decoder has."""
    data = bytearray(path.read_bytes())
    at = data.index(known, data.index(b"stsd"))
    data[at : at + 4] = b"xyzq"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_stream_that_cannot_be_decoded_is_reported_and_the_other_searched(
    tmp_path, film, stream, greys, suffix
):
    path = film(tmp_path / f"a.{suffix}", stream(frames=greys(10)), stream(frames=greys(40)))
    sample = read(unknown_codec(path))
    assert (sample.info.codec, len(sample.frames)) == ("h264", 8)
    assert sample.reasons == (Reason.PART_NOT_SEARCHED,)


def test_a_film_that_cannot_be_decoded_names_its_codec(tmp_path, film, stream, greys):
    path = film(tmp_path / "a.avi", stream(frames=greys(10), codec="snow"))
    with pytest.raises(MediaError, match="snow") as caught:
        read(path)
    assert caught.value.reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mov", "qtrle", "rgb24"),
        ("mov", "cfhd", "yuv422p10le"),
        ("mov", "jpeg2000", "rgb24"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mov", "v210", "yuv422p10le"),
        ("avi", "utvideo", "yuv420p"),
        ("avi", "magicyuv", "yuv420p"),
        ("mkv", "ffv1", "yuv420p"),
    ],
)
def test_codecs_of_cameras_and_editors_are_read(
    tmp_path, film, stream, greys, number_of, suffix, codec, pix_fmt
):
    path = film(tmp_path / f"a.{suffix}", stream(frames=greys(16, 96, 128), codec=codec, pix_fmt=pix_fmt))
    sample = read(path)
    assert np.abs(np.subtract([number_of(f) for f in sample.frames], np.arange(1, 16, 2))).max() <= 1
    assert sample.info.codec in (codec, codec.removesuffix("_ks"))


def tiff(path, *sizes, reduced=()):
    pages = [
        Image.fromarray(np.full((h, w, 3), 40 * k + 20, dtype=np.uint8)) for k, (w, h) in enumerate(sizes)
    ]
    with path.open("w+b") as file:
        from PIL import TiffImagePlugin

        with TiffImagePlugin.AppendingTiffWriter(file, new=True) as writer:
            for number, page in enumerate(pages):
                options = TiffImagePlugin.ImageFileDirectory_v2()
                if number in reduced:
                    options[254] = 1
                page.save(writer, format="TIFF", tiffinfo=options)
                writer.newFrame()
    return path


@pytest.mark.parametrize("reduced", [(), (0,)])
def test_the_largest_page_of_a_tiff_is_searched_and_not_its_thumbnail(tmp_path, reduced):
    sample = read(tiff(tmp_path / "a.tif", (64, 48), (640, 480), reduced=reduced))
    assert [frame.rgb.shape for frame in sample.frames] == [(480, 640, 3)]
    assert (sample.info.width_px, sample.info.height_px) == (640, 480)
    assert sample.reasons == ()
    assert len(notes(sample, NoteCode.STREAM_SKIPPED)) == 1


def test_pages_of_a_tiff_are_all_searched_up_to_the_limit(tmp_path):
    path = tiff(tmp_path / "a.tif", (320, 480), (400, 200), (300, 300))
    sample = read(path)
    assert [frame.stream for frame in sample.frames] == [0, 1, 2]
    assert sample.reasons == ()
    assert read(path, max_streams=2).reasons == (Reason.PART_NOT_SEARCHED,)
