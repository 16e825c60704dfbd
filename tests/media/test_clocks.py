"""Films whose clock starts again, leaps or stands still: every part is searched, on one clock."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from deepfakestream.errors import Reason
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget, NoteCode


def read(path, num_frames=8, **budget):
    return sample_frames(path, num_frames=num_frames, budget=MediaBudget(**budget))


def check_both_halves(sample, number_of, *, count=30):
    """The second half is as the first, but 31 grey levels brighter."""
    numbers = [number_of(frame) for frame in sample.frames]
    expected = [*range(count), *range(31, 31 + count)]
    step = 2 * count / len(numbers)
    wanted = [expected[int((k + 0.5) * step)] for k in range(len(numbers))]
    assert np.abs(np.subtract(numbers, wanted)).max() <= 2
    times = [frame.time_s for frame in sample.frames]
    assert times == sorted(times)
    assert np.diff(times) == pytest.approx(2 * count / 25 / len(numbers), abs=0.13)
    assert {frame.part for frame in sample.frames} == {0, 1}
    assert NoteCode.CLOCK_REPAIRED in {note.code for note in sample.notes}


def halves(tmp_path, film, stream, greys, suffix, codec, *, size=(48, 64), second=None, name=None):
    """Two recordings of 30 frames; frames of the second are 31 levels brighter."""
    levels = greys(61, *size)
    options = {"b:v": "2M"}
    made = []
    for number, part in enumerate((levels[:30], levels[31:])):
        own = {"codec": codec, "options": options, **((second or {}) if number else {})}
        container = own.pop("container", None)
        made.append(
            film(tmp_path / f"{number}.{suffix}", stream(frames=part, **own), options=container, name=name)
        )
    return made


JOINED = [
    ("ts", "libx264", None),
    ("ts", "mpeg2video", None),
    ("ts", "libx265", None),
    ("m2ts", "libx264", None),
    ("vob", "mpeg2video", None),
    ("mpg", "mpeg1video", None),
    ("mkv", "libx264", None),
    ("webm", "libvpx", None),
]


@pytest.mark.parametrize(("suffix", "codec", "name"), JOINED)
def test_both_parts_of_joined_recordings_are_searched(
    tmp_path, film, stream, greys, number_of, join, suffix, codec, name
):
    parts = halves(tmp_path, film, stream, greys, suffix, codec, name=name)
    sample = read(join(tmp_path / f"joined.{suffix}", *parts))
    check_both_halves(sample, number_of)
    assert sample.reasons == ()
    assert sample.info.duration_s == pytest.approx(2.4, abs=0.1)


def test_joined_fragments_of_mp4_are_searched(tmp_path, film, stream, greys, number_of, join):
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    parts = halves(tmp_path, film, stream, greys, "mp4", "libx264", second={"container": flags})
    film(parts[0], stream(frames=greys(61)[:30], options={"b:v": "2M"}), options=flags)
    check_both_halves(read(join(tmp_path / "joined.mp4", *parts)), number_of)


@pytest.mark.parametrize(
    "second",
    [
        {"container": {"mpegts_start_pid": "0x200"}},
        {
            "container": {
                "mpegts_start_pid": "0x200",
                "mpegts_service_id": "7",
                "mpegts_pmt_start_pid": "0x1100",
            }
        },
        {"codec": "mpeg2video"},
        {"start": 15_000},
        {"start": 90_000 * 4},
        {"start": 300_000, "container": {"mpegts_start_pid": "0x300"}},
    ],
    ids=["other place", "other program", "other codec", "10 minutes later", "4 hours later", "both"],
)
def test_a_recording_that_changes_is_searched_to_its_end(
    tmp_path, film, stream, greys, number_of, join, second
):
    parts = halves(tmp_path, film, stream, greys, "ts", "libx264", second=second)
    sample = read(join(tmp_path / "joined.ts", *parts))
    check_both_halves(sample, number_of)
    assert sample.reasons == ()
    assert sample.info.duration_s == pytest.approx(2.4, abs=0.1)
    assert sample.info.num_frames == 60


def test_a_recording_may_change_its_size(tmp_path, film, stream, greys, join):
    small = film(tmp_path / "a.ts", stream(frames=greys(30)))
    large = film(tmp_path / "b.ts", stream(frames=greys(30, 96, 128)))
    sample = read(join(tmp_path / "joined.ts", small, large))
    assert [frame.rgb.shape[0] for frame in sample.frames] == [48] * 4 + [96] * 4


def test_three_parts_of_a_recording_are_searched(tmp_path, film, stream, greys, number_of, join):
    parts = [
        film(tmp_path / f"{k}.ts", stream(frames=greys(60)[20 * k : 20 * k + 20], start=start))
        for k, start in enumerate((7000, 50, 1_000_000))
    ]
    sample = read(join(tmp_path / "joined.ts", *parts), num_frames=12)
    assert np.abs(np.subtract([number_of(f) for f in sample.frames], np.arange(2, 60, 5))).max() <= 2
    assert [frame.part for frame in sample.frames] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_clock_that_wraps_around_goes_on(tmp_path, film, stream, greys, number_of):
    start = int((2**33 / 90_000 - 1) * 25)
    sample = read(film(tmp_path / "wrap.ts", stream(frames=greys(60), start=start)))
    assert [number_of(frame) for frame in sample.frames] == [3, 11, 18, 26, 33, 41, 48, 56]
    assert sample.info.duration_s == pytest.approx(2.4)
    assert sample.reasons == ()


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("flv", "flv"), ("webm", "libvpx")]
)
@pytest.mark.parametrize("gap_s", [60, 2 * 3600])
def test_a_film_with_a_long_gap_is_searched_on_both_sides(
    tmp_path, film, stream, greys, number_of, suffix, codec, gap_s
):
    times = [*range(30), *range(25 * gap_s, 25 * gap_s + 30)]
    path = film(tmp_path / f"gap.{suffix}", stream(frames=greys(60), times=times, codec=codec))
    sample = read(path, num_frames=10)
    numbers = [number_of(frame) for frame in sample.frames]
    assert len(numbers) == 10
    assert sum(number < 29 for number in numbers) >= 4
    assert sum(number > 29 for number in numbers) >= 4
    assert sample.reasons == ()


def patched_times(path, duration):
    """Give every sample of an MP4 the same duration."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 8
    (entries,) = struct.unpack_from(">I", data, at)
    for k in range(entries):
        struct.pack_into(">I", data, at + 8 + 8 * k, duration)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", {}), ("libx264", {"bf": "0"}), ("mpeg4", {}), ("mjpeg", {})]
)
def test_frames_at_one_time_are_counted(tmp_path, film, stream, greys, number_of, suffix, codec, options):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = film(
        tmp_path / f"still.{suffix}",
        stream(frames=greys(60), codec=codec, options={"b:v": "2M", **options}, pix_fmt=pix_fmt),
    )
    sample = read(patched_times(path, 0))
    assert (
        np.abs(np.subtract([number_of(f) for f in sample.frames], [3, 11, 18, 26, 33, 41, 48, 56])).max() <= 1
    )
    assert sample.reasons == ()
    assert sample.info.duration_s == pytest.approx(2.4)


def test_raw_streams_are_counted(tmp_path, film, stream, greys, number_of):
    for suffix, codec in (("h264", "libx264"), ("hevc", "libx265"), ("m2v", "mpeg2video")):
        path = film(tmp_path / f"raw.{suffix}", stream(frames=greys(60), codec=codec, options={"b:v": "2M"}))
        sample = read(path)
        expected = [3, 11, 18, 26, 33, 41, 48, 56]
        assert np.abs(np.subtract([number_of(f) for f in sample.frames], expected)).max() <= 2, suffix
        assert sample.info.duration_s == pytest.approx(2.4, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "flv", "wmv"])
def test_a_second_file_behind_the_first_is_reported(tmp_path, film, stream, greys, join, suffix):
    codec = {"mp4": "libx264", "flv": "flv", "wmv": "wmv2"}[suffix]
    part = film(tmp_path / f"a.{suffix}", stream(frames=greys(30), codec=codec))
    sample = read(join(tmp_path / f"joined.{suffix}", part, part))
    assert sample.reasons == (Reason.PART_NOT_SEARCHED,)
    assert read(part).reasons == ()


def test_one_keyframe_and_more_frames_than_the_budget(tmp_path, film, stream, greys):
    path = film(
        tmp_path / "long.mp4", stream(frames=greys(300), keyframe_every=1000, options={"sc_threshold": "0"})
    )
    sample = read(path, max_decoded_frames=100)
    assert len(sample.frames) == 8
    assert sample.frames[-1].time_s > 3
    assert sample.reasons == (Reason.TIME_BUDGET,)


def test_a_recording_that_begins_without_a_keyframe_starts_at_the_first(
    tmp_path, film, stream, greys, number_of
):
    path = film(
        tmp_path / "a.ts",
        stream(frames=greys(120), keyframe_every=40, options={"sc_threshold": "0", "bf": "0"}),
    )
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 6) :])
    sample = read(path)
    assert number_of(sample.frames[0]) >= 40
    assert sample.frames[0].time_s < 0.5
    assert Reason.TRUNCATED in sample.reasons


def test_a_part_that_begins_without_a_keyframe_is_not_decoded_by_another(
    tmp_path, film, stream, greys, number_of, join
):
    """The second recording lost its beginning; what is left of it refers to frames that are not there."""
    options = {"sc_threshold": "0", "bf": "0"}
    first = film(tmp_path / "a.ts", stream(frames=greys(30), options=options))
    second = film(tmp_path / "b.ts", stream(frames=greys(61)[31:], options=options, keyframe_every=15))
    data = second.read_bytes()
    second.write_bytes(data[: 188 * 3] + data[188 * (len(data) // 188 // 4) :])
    sample = read(join(tmp_path / "joined.ts", first, second), num_frames=12)
    numbers = [number_of(frame) for frame in sample.frames if frame.part == 1]
    assert numbers
    assert min(numbers) >= 46
    assert numbers == sorted(numbers)
