"""Small files made to cost much: refused by their headers, or read within the budget; and encrypted ones."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from media_info import info_of
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget

MAX_ADDRESS_BYTES = 4_000_000_000


def refuse(path, **budget):
    start = time.monotonic()
    with pytest.raises(MediaError) as caught:
        sample_frames(path, num_frames=4, budget=MediaBudget(**budget))
    assert time.monotonic() - start < 100
    return caught.value


def patched(path, name, offset, content):
    """Overwrite bytes after each box of a name."""
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(name, at + 1)) >= 0:
        data[at + 4 + offset : at + 4 + offset + len(content)] = content
    path.write_bytes(data)
    return path


@pytest.fixture
def movie(tmp_path, film, stream, greys):
    return film(tmp_path / "a.mp4", stream(frames=greys(20), options={"bf": "2"}))


@pytest.mark.parametrize(
    ("name", "offset", "content"),
    [
        (b"stsz", 4, struct.pack(">II", 1, 80_000_000)),
        (b"stsz", 4, struct.pack(">II", 0, 80_000_000)),
        (b"stts", 4, struct.pack(">III", 1, 80_000_000, 512)),
        (b"ctts", 4, struct.pack(">III", 1, 80_000_000, 512)),
    ],
)
def test_counts_that_the_file_cannot_hold_are_refused(movie, name, offset, content):
    assert refuse(patched(movie, name, offset, content)).reason is Reason.UNREADABLE


BOMB = (b"stsz", 4, struct.pack(">II", 0, 80_000_000))


def box(name, content):
    return struct.pack(">I4s", 8 + len(content), name) + content


def top_boxes(data):
    """Return name and content of the boxes that stand in no other."""
    found, at = [], 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found.append((name, data[at + 8 : at + length]))
        at += length
    return found


HIDING_PLACES = {
    "behind a box without a known name": lambda name, content: (
        box(b"zzzz", b"") + box(name, content) if name == b"ftyp" else box(name, content)
    ),
    "the first box has no known name": lambda name, content: box(
        b"zzzz" if name == b"ftyp" else name, content
    ),
    "tracks in no movie": lambda name, content: content if name == b"moov" else box(name, content),
    "in user data": lambda name, content: (
        box(b"moov", box(b"udta", content)) if name == b"moov" else box(name, content)
    ),
    "in metadata": lambda name, content: (
        box(b"moov", box(b"meta", bytes(4) + box(b"hdlr", bytes(20)) + content))
        if name == b"moov"
        else box(name, content)
    ),
    "in a sample entry": lambda name, content: (
        box(b"moov", content + box(b"stsd", bytes(8) + box(b"avc1", bytes(78) + content)))
        if name == b"moov"
        else box(name, content)
    ),
    "under another name": lambda name, content: box(b"hoov" if name == b"moov" else name, content),
}


@pytest.mark.parametrize("hidden", HIDING_PLACES.values(), ids=HIDING_PLACES)
def test_counts_are_checked_wherever_they_stand(movie, hidden):
    """FFmpeg finds tables in boxes that hold none by the standard."""
    patched(movie, *BOMB)
    movie.write_bytes(b"".join(hidden(name, content) for name, content in top_boxes(movie.read_bytes())))
    assert refuse(movie).reason is Reason.UNREADABLE


def test_films_behind_boxes_without_a_known_name_are_read(movie):
    movie.write_bytes(box(b"zzzz", b"") + movie.read_bytes())
    assert info_of(movie).num_frames == 20


@pytest.mark.parametrize("length", [2**40, 2**62, 2**63 - 1, 2**63])
@pytest.mark.parametrize("name", [b"moov", b"mdat", b"free"])
def test_a_box_that_claims_more_than_any_memory_is_read_to_the_end_of_the_file(movie, name, length):
    boxes = dict(top_boxes(movie.read_bytes()))
    content = boxes.pop(name)
    others = b"".join(box(other, found) for other, found in boxes.items())
    movie.write_bytes(others + struct.pack(">I4sQ", 1, name, length) + content)
    assert info_of(movie).num_frames == 20


def test_a_header_of_a_negative_length_is_refused(movie):
    """FFmpeg reads the length as a signed number."""
    boxes = dict(top_boxes(movie.read_bytes()))
    content = boxes.pop(b"moov")
    others = b"".join(box(other, found) for other, found in boxes.items())
    movie.write_bytes(others + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1) + content)
    assert refuse(movie).reason is Reason.UNREADABLE


def test_the_first_of_two_tables_is_checked_too(movie):
    data = movie.read_bytes()
    at = data.index(b"stsz") - 4
    bomb = box(b"stsz", struct.pack(">III", 0, 0, 80_000_000))
    data = data[:at] + bomb + data[at:]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = data.index(name) - 4
        size = struct.unpack_from(">I", data, start)[0] + len(bomb)
        data = data[:start] + struct.pack(">I", size) + data[start + 4 :]
    movie.write_bytes(data)
    assert refuse(movie).reason is Reason.UNREADABLE


def test_boxes_within_boxes_without_end_are_refused(movie):
    """Each sample entry is looked at in five ways, so that nested ones multiply."""
    deep = b""
    for _ in range(60):
        deep = box(b"stsd", bytes(8) + box(b"avc1", bytes(78) + deep))
    movie.write_bytes(movie.read_bytes() + box(b"moov", deep))
    assert refuse(movie).reason is Reason.UNREADABLE


def test_sound_is_counted_where_ffmpeg_keeps_each_of_its_samples(tmp_path):
    """As long as all samples last one tick it keeps chunks; otherwise a record of each byte of this file."""
    count = 5_000_000
    tables = (
        box(b"stsd", struct.pack(">II", 0, 1) + box(b"sowt", bytes(28)))
        + box(b"stts", struct.pack(">IIIIII", 0, 2, count - 1, 1, 1, 2))
        + box(b"stsz", struct.pack(">III", 0, 1, count))
    )
    handler = box(b"hdlr", bytes(8) + b"soun" + bytes(13))
    track = box(b"trak", box(b"mdia", handler + box(b"minf", box(b"stbl", tables))))
    path = tmp_path / "a.mov"
    path.write_bytes(box(b"ftyp", b"qt  " + bytes(4)) + box(b"moov", track) + box(b"mdat", bytes(count)))
    assert refuse(path).reason is Reason.UNREADABLE


def test_a_fragment_that_claims_too_many_samples_is_refused(tmp_path, film, stream, greys):
    flags = {"movflags": "frag_keyframe+empty_moov"}
    path = film(tmp_path / "a.mp4", stream(frames=greys(20)), options=flags)
    patched(path, b"trun", 0, struct.pack(">II", 0, 3_000_000_000))
    assert refuse(path).reason is Reason.UNREADABLE


def test_an_edit_list_that_shows_the_film_many_times_is_refused(movie):
    data = movie.read_bytes()
    at = data.index(b"elst")
    count = 400_000
    entry = data[at + 12 : at + 24]
    new = struct.pack(">I4sII", 16 + 12 * count, b"elst", 0, count) + entry * count
    edts = struct.pack(">I4s", 8 + len(new), b"edts") + new
    old_size = struct.unpack_from(">I", data, at - 12)[0]
    data = data[: at - 12] + edts + data[at - 12 + old_size :]
    for name in (b"moov", b"trak"):
        box = data.index(name) - 4
        size = struct.unpack_from(">I", data, box)[0] + len(edts) - old_size
        data = data[:box] + struct.pack(">I", size) + data[box + 4 :]
    movie.write_bytes(data)
    assert refuse(movie).reason is Reason.UNREADABLE


def test_millions_of_boxes_are_refused(movie):
    movie.write_bytes(struct.pack(">I4s", 8, b"free") * 500_000 + movie.read_bytes())
    assert refuse(movie).reason is Reason.UNREADABLE


def test_plain_sound_is_no_bomb(tmp_path):
    """It has a sample for each moment, thousands for each frame of the film."""
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        sound = container.add_stream("pcm_s16le", rate=48_000)
        pictures.width = pictures.height = 64
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 480_000), np.int16), "s16", "stereo")
        samples.sample_rate, samples.pts = 48_000, 0
        container.mux(sound.encode(samples))
        for position in range(4):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = position
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode())
    assert struct.pack(">I", 240_000) in path.read_bytes()
    assert info_of(path).num_frames == 4


def test_hostile_files_take_little_memory(tmp_path, movie):
    """In a process of its own that gets four gigabytes of addresses, most of which the libraries take."""
    bombs = [patched(movie, b"stsz", 4, struct.pack(">II", 1, 80_000_000))]
    jpeg = tmp_path / "scans.jpg"
    Image.new("L", (6320, 6320), 7).save(jpeg, progressive=True)
    data = jpeg.read_bytes()
    jpeg.write_bytes(data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 5000 + data[-2:])
    bombs.append(jpeg)
    code = (
        "import sys; from pathlib import Path; from deepfakestream.errors import MediaError\n"
        "from deepfakestream.media.reader import sample_frames\n"
        "from deepfakestream.media.types import MediaBudget\n"
        "for name in sys.argv[1:]:\n"
        "    try: sample_frames(Path(name), num_frames=4, budget=MediaBudget())\n"
        "    except MediaError as error: print(error.reason)\n"
    )
    limit = (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, bombs)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert done.stdout.split() == ["unreadable", "time_budget"], done.stderr
    assert time.monotonic() - start < 20


def gif_of_dots(path, count, side):
    """A large canvas and many frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    dot = (
        b"\x21\xf9\x04\x08\x01\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    )
    path.write_bytes(head + dot * count + b";")
    return path


def test_a_gif_of_many_frames_ends_within_its_time(tmp_path):
    error = refuse(gif_of_dots(tmp_path / "a.gif", 19_999, 4000), max_wall_s=1.0)
    assert error.reason is Reason.TIME_BUDGET


# ---- encryption -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "words"), [(b"encv", "CENC"), (b"drmi", "FairPlay")])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_an_encrypted_film_is_named_so(tmp_path, film, stream, greys, entry, words, suffix):
    path = film(tmp_path / f"a.{suffix}", stream(frames=greys(20)))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"avc1", entry) if b"stsd" in data else data)
    at = path.read_bytes().index(b"stsd")
    assert path.read_bytes()[at + 16 : at + 20] == entry
    error = refuse(path)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert words in str(error)
    assert "decrypt" in str(error)


def test_a_scrambled_broadcast_is_named_so(tmp_path, film, stream, greys):
    path = film(tmp_path / "a.ts", stream(frames=greys(40)))
    packets = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 188).copy()
    is_picture = ((packets[:, 1].astype(int) & 0x1F) << 8 | packets[:, 2]) == 0x100
    packets[is_picture, 3] |= 0x80
    path.write_bytes(packets.tobytes())
    error = refuse(path)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "scrambled" in str(error)


def test_a_dvd_that_is_still_scrambled_is_named_so(tmp_path, film, stream, greys):
    path = film(tmp_path / "a.vob", stream(frames=greys(60, 96, 128), codec="mpeg2video"))
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"\0\0\1\xe0", at + 1)) >= 0:
        data[at + 6] |= 0x10
    path.write_bytes(data)
    error = refuse(path)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "CSS" in str(error)


def test_a_protected_windows_media_file_is_named_so(tmp_path, film, stream, greys):
    path = film(tmp_path / "a.wmv", stream(frames=greys(20), codec="wmv2"))
    data = path.read_bytes()
    mark = bytes.fromhex("fbb31122 23bd d211 b4b7 00a0c955fc6e")
    path.write_bytes(data[:100] + mark + data[116:])
    error = refuse(path)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "Windows Media" in str(error)
