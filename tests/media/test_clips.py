"""Videos: even sampling by time, damage, lies in the header, budgets, and files that are no videos."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from media_info import info_of

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media import clip_frames
from deepfakestream.media.reader import open_media, sample_frames
from deepfakestream.media.types import MediaBudget

BUDGET = MediaBudget()


def read(path, num_frames=6, **budget):
    return sample_frames(path, num_frames=num_frames, budget=MediaBudget(**budget))


def refuse(path, **budget):
    with pytest.raises(MediaError) as caught:
        read(path, **budget)
    return caught.value


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def patch_box(path, name, offset, content):
    """Overwrite bytes after a box's name."""
    data = bytearray(path.read_bytes())
    position = data.index(name) + 4 + offset
    data[position : position + len(content)] = content
    path.write_bytes(data)
    return path


def test_facts_come_from_the_header(grey_clip):
    info = info_of(grey_clip, BUDGET)
    assert (info.kind, info.container, info.codec) == ("video", "mov", "h264")
    assert (info.width_px, info.height_px, info.num_frames) == (64, 48, 60)
    assert (info.duration_s, info.fps) == (pytest.approx(2.4), pytest.approx(25.0))
    assert info.size_bytes == grey_clip.stat().st_size
    assert info.bit_rate_bps
    assert info.jpeg_quality is None


def test_frames_are_spread_over_the_whole_clip(grey_clip, number_of):
    sample = read(grey_clip)
    assert [number_of(frame) for frame in sample.frames] == [5, 15, 25, 35, 45, 55]
    assert [frame.time_s for frame in sample.frames] == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8, 2.2])
    assert [frame.index for frame in sample.frames] == list(range(6))
    assert sample.reasons == ()


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        ("mp4", "libx264", "yuv420p"),
        ("mkv", "libx264", "yuv444p"),
        ("mov", "mjpeg", "yuvj420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("mpg", "mpeg2video", "yuv420p"),
        ("ts", "mpeg2video", "yuv420p"),
        ("webm", "libvpx", "yuv420p"),
        ("wmv", "wmv2", "yuv420p"),
        ("flv", "flv", "yuv420p"),
    ],
)
def test_containers_and_codecs_agree(tmp_path, encode_clip, greys, number_of, suffix, codec, pix_fmt):
    path = encode_clip(
        tmp_path / f"c.{suffix}", greys(60), codec=codec, pix_fmt=pix_fmt, options={"b:v": "2M", "bf": "0"}
    )
    sample = read(path)
    assert [frame.time_s for frame in sample.frames] == pytest.approx(
        [0.2, 0.6, 1.0, 1.4, 1.8, 2.2], abs=1e-3
    )
    numbers = np.array([number_of(frame) for frame in sample.frames])
    assert np.abs(numbers - [5, 15, 25, 35, 45, 55]).max() <= 1  # a lossy grey may be one level off
    assert sample.reasons == ()


def test_avi_without_presentation_times_is_sampled_by_order(tmp_path, encode_clip, greys, number_of):
    path = encode_clip(tmp_path / "b.avi", greys(60), options={"bf": "2"})
    numbers = [number_of(frame) for frame in read(path).frames]
    assert np.abs(np.array(numbers) - [5, 15, 25, 35, 45, 55]).max() <= 3


def test_kind_comes_from_the_content(grey_clip, astronaut_jpg, tmp_path):
    misnamed = grey_clip.rename(tmp_path / "video.jpg")
    assert info_of(misnamed, BUDGET).kind == "video"
    picture = tmp_path / "picture.mp4"
    picture.write_bytes(astronaut_jpg.read_bytes())
    assert info_of(picture, BUDGET).kind == "image"


def test_variable_frame_rate_is_sampled_by_time(tmp_path, encode_clip, greys, number_of):
    times = [*range(40), *range(40, 240, 10)]
    sample = read(encode_clip(tmp_path / "vfr.mp4", greys(60), times=times))
    assert [number_of(frame) for frame in sample.frames] == [20, 42, 46, 50, 54, 58]
    assert [frame.time_s for frame in sample.frames] == pytest.approx([0.8, 2.4, 4.0, 5.6, 7.2, 8.8])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_held_last_frame_is_no_missing_end(tmp_path, greys, number_of, suffix):
    """As in slide shows: two seconds that move, then ten of the last picture."""
    path = tmp_path / f"slides.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for position, rgb in enumerate(greys(50)):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts = position
            packets += stream.encode(picture)
        packets += stream.encode()
        packets[-1].duration = round(10 / packets[-1].time_base)
        container.mux(packets)
    sample = read(path, num_frames=12)
    assert sample.reasons == ()
    numbers = [number_of(frame) for frame in sample.frames]
    assert (len(numbers), numbers[0], numbers[-1]) == (12, 2, 49)
    assert set(np.diff(numbers).tolist()) <= {3, 4, 5}
    assert sample.info.duration_s == pytest.approx(11.96, abs=0.05)


@pytest.mark.parametrize("matrix", [8, 14])
def test_colours_that_cannot_be_converted_are_refused(tmp_path, encode_clip, greys, matrix):
    options = {"colorspace": str(matrix), "x264-params": f"colormatrix={'YCgCo' if matrix == 8 else 'ICtCp'}"}
    error = refuse(encode_clip(tmp_path / "odd.mp4", greys(8), options=options))
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert f"(matrix {matrix}) cannot be turned into RGB; convert the video to BT.709" in str(error)


def test_heic_is_refused_and_not_read_as_a_video(tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1MiHEmiafMiHBheic" + bytes(64))
    error = refuse(path)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "HEIC pictures are not read; convert it to JPEG or PNG" in str(error)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("mp4", "libx264"), ("ts", "libx264"), ("flv", "flv")]
)
def test_late_start_counts_from_the_first_frame(tmp_path, encode_clip, greys, suffix, codec):
    times = [k + 9000 for k in range(60)]
    sample = read(encode_clip(tmp_path / f"late.{suffix}", greys(60), times=times, codec=codec))
    assert [frame.time_s for frame in sample.frames] == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8, 2.2])
    assert sample.info.duration_s == pytest.approx(2.4)
    assert sample.reasons == ()


@pytest.mark.parametrize("stated", [0, 1, 40])
def test_a_header_that_understates_the_length_does_not_shorten_the_sampling(grey_clip, number_of, stated):
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        patch_box(grey_clip, name, {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16}[name], struct.pack(">I", stated))
    numbers = [number_of(frame) for frame in read(grey_clip).frames]
    assert numbers == [5, 15, 25, 35, 45, 55]


@pytest.mark.parametrize(
    ("degrees", "corner"), [(90, "bottom left"), (180, "bottom right"), (270, "top right")]
)
def test_display_matrix_is_applied(tmp_path, encode_clip, degrees, corner):
    """`set_display_rotation` turns counter-clockwise: the top left corner goes where the table says."""
    rgb = np.zeros((64, 96, 3), dtype=np.uint8)
    rgb[:32, :48] = 255
    path = encode_clip(tmp_path / "turned.mp4", [rgb] * 5, rotation_deg=degrees)
    frame = read(path).frames[0].rgb
    info = info_of(path, BUDGET)
    assert frame.shape == (info.height_px, info.width_px, 3)
    assert frame.shape[:2] == ((64, 96) if degrees == 180 else (96, 64))
    rows = frame[-8:] if "bottom" in corner else frame[:8]
    assert (rows[:, -8:] if "right" in corner else rows[:, :8]).mean() > 200
    assert frame.mean() < 80


def test_one_frame(tmp_path, encode_clip, greys):
    sample = read(encode_clip(tmp_path / "one.mp4", greys(1)))
    assert [frame.time_s for frame in sample.frames] == [0.0]
    assert sample.reasons == ()


def test_seeking_gives_the_frames_that_decoding_through_gives(tmp_path, encode_clip, greys, monkeypatch):
    path = encode_clip(tmp_path / "long.mp4", greys(600), keyframe_every=12)
    seeking = read(path)
    monkeypatch.setattr(clip_frames, "MIN_SKIPPED_FRAMES", 10**9)
    through = read(path)
    assert [a.time_s for a in seeking.frames] == [b.time_s for b in through.frames]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(seeking.frames, through.frames, strict=True))


def test_long_clip_decodes_few_frames(tmp_path, encode_clip, greys):
    path = encode_clip(tmp_path / "long.mp4", greys(600), keyframe_every=12)
    sample = read(path, max_decoded_frames=6 * 13)
    assert len(sample.frames) == 6
    assert sample.reasons == ()


def test_keyframes_stand_in_where_exact_frames_cost_too_much(tmp_path, encode_clip, greys, number_of):
    path = encode_clip(tmp_path / "long.mp4", greys(600), keyframe_every=100, options={"sc_threshold": "0"})
    sample = read(path, max_decoded_frames=12)
    assert [round(frame.time_s * 25) for frame in sample.frames] == [0, 100, 200, 300, 400, 500]


def test_behind_the_only_keyframe_the_budget_is_spent_and_the_rest_is_reported(tmp_path, encode_clip, greys):
    path = encode_clip(tmp_path / "c.mp4", greys(60), keyframe_every=250)
    sample = read(path, max_decoded_frames=30)
    assert [round(frame.time_s * 25) for frame in sample.frames] == [0, 5, 10, 15, 20, 25]
    assert sample.reasons == (Reason.TIME_BUDGET,)


def test_frame_budget_ends_the_reading(tmp_path, encode_clip, greys):
    """Every frame of the clip is a keyframe, and none is far enough from the last to seek."""
    path = encode_clip(tmp_path / "c.mov", greys(60), codec="mjpeg", pix_fmt="yuvj420p", options={"bf": "0"})
    sample = read(path, max_decoded_frames=30)
    assert [frame.time_s for frame in sample.frames] == pytest.approx([0.2, 0.6, 1.0])
    assert sample.reasons == (Reason.TIME_BUDGET,)


def test_wall_budget_ends_the_reading(grey_clip):
    error = refuse(grey_clip, max_wall_s=0.0)
    assert error.reason is Reason.TIME_BUDGET
    assert "in the time allowed; re-encode it" in str(error)


def test_wall_budget_does_not_count_the_callers_time(grey_clip, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("deepfakestream.media.types.time.monotonic", lambda: now[0])
    with open_media(grey_clip, MediaBudget(max_wall_s=1.0)) as media:
        for _ in media.frames(6):
            now[0] += 100.0
        assert media.reasons == ()


def test_pixel_and_duration_budgets_are_checked_before_decoding(grey_clip):
    assert refuse(grey_clip, max_pixels=64 * 48 - 1).reason is Reason.TOO_MANY_PIXELS
    assert refuse(grey_clip, max_duration_s=2.0).reason is Reason.TOO_LONG


def test_an_understated_length_does_not_pass_the_duration_budget(grey_clip):
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        patch_box(grey_clip, name, {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16}[name], struct.pack(">I", 1))
    assert refuse(grey_clip, max_duration_s=2.0).reason is Reason.TOO_LONG


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mpg"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_cut_stream_gives_what_is_there(tmp_path, encode_clip, greys, suffix, share, astronaut):
    frames = [astronaut[k : k + 128, 2 * k : 2 * k + 128] for k in range(100)]
    codec = "libx264" if suffix == "mkv" else "mpeg2video"
    whole = encode_clip(tmp_path / f"whole.{suffix}", frames, codec=codec, keyframe_every=12)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    sample = read(cut)
    assert len(sample.frames) == 6
    assert 4 * share - 0.5 < sample.frames[-1].time_s < 4 * share + 0.3
    if suffix == "mkv":
        assert sample.reasons == (Reason.TRUNCATED,)


def test_cut_mp4_with_its_index_in_front_gives_what_is_there(tmp_path, encode_clip, astronaut):
    frames = [astronaut[k : k + 128, 2 * k : 2 * k + 128] for k in range(100)]
    whole = encode_clip(
        tmp_path / "whole.mp4", frames, keyframe_every=12, container_options={"movflags": "faststart"}
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    sample = read(cut)
    assert len(sample.frames) == 6
    assert 1.0 < sample.frames[-1].time_s < 3.0
    assert sample.reasons == (Reason.TRUNCATED,)


def test_cut_mp4_without_its_index_is_refused_as_truncated(grey_clip):
    grey_clip.write_bytes(grey_clip.read_bytes()[: grey_clip.stat().st_size // 2])
    error = refuse(grey_clip)
    assert error.reason is Reason.TRUNCATED
    assert "moov" in str(error)


def test_flipped_bits_end_and_give_the_same_frames_each_time(tmp_path, encode_clip, astronaut):
    frames = [astronaut[k : k + 128, 2 * k : 2 * k + 128] for k in range(60)]
    path = encode_clip(tmp_path / "flipped.mkv", frames)
    data = bytearray(path.read_bytes())
    for position in np.random.default_rng(3).integers(len(data) // 3, len(data) - 500, size=60):
        data[position] ^= 0x55
    path.write_bytes(data)
    first, second = read(path), read(path)
    assert Reason.TRUNCATED in first.reasons
    assert first.reasons == second.reasons
    assert [a.time_s for a in first.frames] == [b.time_s for b in second.frames]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first.frames, second.frames, strict=True))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", Reason.EMPTY_FILE),
        ("byte.mp4", b"x", Reason.UNSUPPORTED_FORMAT),
        ("text.mp4", b"just some text\n" * 60, Reason.UNSUPPORTED_FORMAT),
        ("noise.mp4", np.random.default_rng(0).bytes(50_000), Reason.UNSUPPORTED_FORMAT),
        ("head.png", b"\x89PNG\r\n\x1a\n", Reason.UNREADABLE),
        ("head.mkv", b"\x1aE\xdf\xa3" + bytes(100), Reason.UNREADABLE),
        ("page.html", b"<html><body>hi</body></html>", Reason.UNSUPPORTED_FORMAT),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', Reason.UNSUPPORTED_FORMAT),
        ("table.csv", b"a,b\n1,2\n" * 100, Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_files_that_are_no_media_have_a_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    error = refuse(path)
    assert error.reason is reason
    assert name in str(error)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{target}'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{target}</BaseURL></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["HLS", "concat", "DASH", "SDP"],
)
@pytest.mark.parametrize("name", ["playlist.mp4", "playlist.m3u8"])
def test_playlists_are_refused(tmp_path, grey_clip, playlist, name):
    path = tmp_path / name
    path.write_text(playlist.format(target=grey_clip))
    assert refuse(path).reason is Reason.UNSUPPORTED_FORMAT


def test_missing_file_and_folder_are_not_found(tmp_path):
    assert refuse(tmp_path / "none.mp4").reason is Reason.NOT_FOUND
    assert refuse(tmp_path).reason is Reason.NOT_FOUND


def test_sound_without_pictures_is_refused(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert refuse(path).reason is Reason.NO_VIDEO_STREAM


def test_every_file_is_closed(grey_clip, astronaut_jpg, tmp_path):
    text = tmp_path / "t.mp4"
    text.write_text("text" * 100)
    before = open_files()
    for _ in range(5):
        read(grey_clip)
        read(astronaut_jpg)
        refuse(text)
        with open_media(grey_clip, BUDGET) as media:
            next(media.frames(6))
    assert open_files() <= before
