"""Media read by processes of their own: the same frames, and an answer whatever a file does to them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from crafted_media import gif_of_dots, jpeg_of_scans, movie_of_samples, png_of_chunks, png_that_unpacks
from PIL import Image

from deepfakestream.errors import MediaError, Reason, ServerError
from deepfakestream.media.isolated import IsolatedDecoding
from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget

MEMORY_MB = 3072
PATIENCE_S = 300.0


@pytest.fixture
def decoding():
    made = IsolatedDecoding(memory_mb=MEMORY_MB)
    yield made
    made.stop()


def read(opens, path, num_frames=4, **budget):
    with opens(path, MediaBudget(**budget)) as media:
        frames = list(media.frames(num_frames))
        return media.info, media.reasons, media.notes, frames


def refusal(decoding, path, **budget):
    with pytest.raises(MediaError) as caught:
        read(decoding.open, path, **budget)
    return caught.value.reason


def decoders(decoding):
    """Return the processes that read a file now."""
    forks = psutil.Process(decoding._videos._process.pid)
    return [each for each in forks.children() if each.status() != psutil.STATUS_ZOMBIE]


def await_that(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_frames_and_facts_are_those_of_the_reader(tmp_path, decoding, film, stream, greys, astronaut):
    paths = [
        film(tmp_path / "a.mp4", stream(frames=greys(30)), stream(frames=greys(10), codec="mpeg4")),
        tmp_path / "a.jpg",
        tmp_path / "a.gif",
    ]
    Image.fromarray(astronaut).save(paths[1])
    few = [Image.fromarray(astronaut[k : k + 48, 200:264]) for k in range(4)]
    few[0].save(paths[2], save_all=True, append_images=few[1:], duration=50)
    for path in paths:
        *facts, frames = read(decoding.open, path)
        *expected_facts, expected = read(open_media, path)
        assert facts == expected_facts
        assert [(f.index, f.time_s, f.stream, f.part) for f in frames] == [
            (f.index, f.time_s, f.stream, f.part) for f in expected
        ]
        assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(frames, expected, strict=True))


def test_every_format_is_read_as_by_the_reader(tmp_path, decoding, film, stream, greys, astronaut):
    """No decoder, thread or plug-in needs a system call that these processes may not make."""
    frames = greys(12, 96, 128)
    for suffix, codec, pix_fmt in (
        ("mp4", "libx264", "yuv420p"),
        ("mp4", "libx265", "yuv420p10le"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("webm", "libvpx", "yuv420p"),
        ("mkv", "libsvtav1", "yuv420p"),
        ("avi", "mpeg4", "yuv420p"),
        ("mov", "mjpeg", "yuvj420p"),
        ("mov", "prores", "yuv422p10le"),
        ("ts", "mpeg2video", "yuv420p"),
        ("wmv", "wmv2", "yuv420p"),
    ):
        film(tmp_path / f"{codec}.{suffix}", stream(frames=frames, codec=codec, pix_fmt=pix_fmt))
    still = Image.fromarray(astronaut[:200, 150:400])
    for suffix in ("jpg", "png", "webp", "avif", "tif", "bmp", "gif"):
        still.save(tmp_path / f"still.{suffix}")
    still.convert("CMYK").save(tmp_path / "cmyk.jpg")
    still.save(tmp_path / "scans.jpg", progressive=True)
    still.save(tmp_path / "packed.tif", compression="tiff_lzw")
    for path in sorted(tmp_path.iterdir()):
        *facts, found = read(decoding.open, path)
        *expected_facts, expected = read(open_media, path)
        assert facts == expected_facts, path.name
        assert found
        assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(found, expected, strict=True))


def test_pictures_are_read_without_the_libraries_for_videos(tmp_path, decoding, film, stream, greys):
    """Those double the time of a fork; a picture that takes them is read all the same."""
    Image.new("RGB", (60, 60)).save(tmp_path / "a.jpg")
    Image.new("RGB", (60, 60)).save(tmp_path / "a.avif")
    (tmp_path / "text.jpg").write_bytes(b"\xff\xd8\xff but no more")
    for name in ("a.jpg", "a.avif"):
        assert len(read(decoding.open, tmp_path / name)[3]) == 1
    assert refusal(decoding, tmp_path / "none.jpg") is Reason.NOT_FOUND
    assert refusal(decoding, tmp_path / "text.jpg") is Reason.UNREADABLE
    assert decoding._videos._process is None
    libraries = Path(f"/proc/{decoding._pictures._process.pid}/maps")
    assert "libavcodec" not in libraries.read_text()

    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    (tmp_path / "like_a_bmp.mp4").write_bytes(b"BM" + path.read_bytes()[2:])
    with pytest.raises(MediaError) as expected, open_media(tmp_path / "like_a_bmp.mp4", MediaBudget()):
        pass
    assert refusal(decoding, tmp_path / "like_a_bmp.mp4") is expected.value.reason
    assert decoding._videos._process is None
    assert len(read(decoding.open, path)[3]) == 4
    assert decoding._videos._process is not None


def test_errors_are_those_of_the_reader(tmp_path, decoding):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.mp4").write_text("#EXTM3U\nhttp://127.0.0.1/a.ts\n")
    for name in ("empty.jpg", "text.mp4", "none.mp4"):
        with pytest.raises(MediaError) as caught:
            read(decoding.open, tmp_path / name)
        with pytest.raises(MediaError) as expected:
            read(open_media, tmp_path / name)
        assert (caught.value.reason, str(caught.value)) == (expected.value.reason, str(expected.value))


def test_memory_is_limited(tmp_path):
    """A picture within the budget of pixels that needs more memory than this limit leaves."""
    decoding = IsolatedDecoding(memory_mb=512)
    Image.new("RGBA", (6000, 6000)).save(tmp_path / "a.png")
    try:
        assert refusal(decoding, tmp_path / "a.png") is Reason.MEMORY_BUDGET
        Image.new("RGB", (60, 60)).save(tmp_path / "b.png")
        assert len(read(decoding.open, tmp_path / "b.png")[3]) == 1
    finally:
        decoding.stop()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGSEGV, Reason.DECODER_CRASHED),
        (signal.SIGABRT, Reason.DECODER_CRASHED),
        (signal.SIGXCPU, Reason.TIME_BUDGET),
        (signal.SIGKILL, Reason.MEMORY_BUDGET),
    ],
)
def test_the_end_of_a_decoder_is_an_answer(tmp_path, decoding, film, stream, greys, number, reason):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    with decoding.open(path, MediaBudget()) as media:
        (decoder,) = decoders(decoding)
        decoder.send_signal(number)
        with pytest.raises(MediaError) as caught:
            list(media.frames(4))
    assert caught.value.reason is reason
    assert len(read(decoding.open, path)[3]) == 4


def test_the_end_of_the_process_that_forks_is_survived(tmp_path, decoding, film, stream, greys):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    read(decoding.open, path)
    forks = psutil.Process(decoding._videos._process.pid)
    forks.kill()
    await_that(lambda: not forks.is_running() or forks.status() == psutil.STATUS_ZOMBIE)
    assert len(read(decoding.open, path)[3]) == 4


def test_a_decoder_that_ends_with_the_process_that_forks_says_nothing_of_its_file(
    tmp_path, decoding, film, stream, greys
):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    with decoding.open(path, MediaBudget()) as media:
        (decoder,) = decoders(decoding)
        decoder.suspend()  # or it might give its frames before it ends
        decoding._videos._process.kill()
        with pytest.raises(ServerError):
            list(media.frames(4))
    assert len(read(decoding.open, path)[3]) == 4


def test_without_the_process_that_forks_no_file_is_blamed(tmp_path, decoding, monkeypatch):
    Image.new("RGB", (60, 60)).save(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ServerError):
            read(decoding.open, tmp_path / "a.png")
    assert len(read(decoding.open, tmp_path / "a.png")[3]) == 1


def test_a_file_that_nobody_waits_for_is_not_read_on(tmp_path, decoding, film, stream, greys):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    with decoding.open(path, MediaBudget()):
        assert len(decoders(decoding)) == 1
    await_that(lambda: not decoders(decoding))


@pytest.mark.slow
def test_a_decoder_that_hangs_is_ended_and_others_are_served(tmp_path, decoding, film, stream, greys):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    caught = []
    read(decoding.open, path)

    def hang():
        with decoding.open(path, MediaBudget(max_wall_s=20)) as media:
            (decoder,) = decoders(decoding)
            decoder.suspend()
            is_hanging.set()
            with pytest.raises(MediaError) as error:
                list(media.frames(4))
        caught.append(error.value.reason)

    is_hanging = threading.Event()
    thread = threading.Thread(target=hang)
    thread.start()
    assert is_hanging.wait(PATIENCE_S)
    assert len(read(decoding.open, path)[3]) == 4
    thread.join(PATIENCE_S)
    assert caught == [Reason.TIME_BUDGET]
    await_that(lambda: not decoders(decoding))


def test_decoders_are_confined(tmp_path, decoding, film, stream, greys):
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    with decoding.open(path, MediaBudget(max_wall_s=20)) as media:
        (decoder,) = decoders(decoding)
        assert decoder.rlimit(psutil.RLIMIT_AS)[0] == MEMORY_MB << 20
        assert decoder.rlimit(psutil.RLIMIT_CPU)[0] == 35
        assert decoder.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert decoder.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert decoder.rlimit(psutil.RLIMIT_NOFILE)[1] <= 256
        if may_filter():
            assert "\nSeccomp:\t2\n" in Path(f"/proc/{decoder.pid}/status").read_text()
        ours, theirs = (Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in (os.getpid(), decoder.pid))
        if os.geteuid() == 0 and _may_leave_network():
            assert ours != theirs
        list(media.frames(1))


def test_without_the_library_of_filters_files_are_read_and_the_log_says_so(
    tmp_path, decoding, film, stream, greys, monkeypatch, caplog
):
    """A library of that name that cannot be loaded comes first."""
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "libseccomp.so.2").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "libraries"))
    path = film(tmp_path / "a.mp4", stream(frames=greys(30)))
    for _ in range(2):
        assert len(read(decoding.open, path)[3]) == 4
    assert [record.levelname for record in caplog.records if "system calls" in record.message] == ["WARNING"]


def may_filter() -> bool:
    """Whether a process may have a filter of system calls here: some containers forbid it."""
    probe = (
        "import ctypes; from deepfakestream.host.system_calls import *\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "f = system_call_filter(); print(f is not None and apply_filter(f))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=300)
    return done.stdout.strip() == "True"


def _may_leave_network() -> bool:
    """Whether this process may make namespaces: a container mostly may not."""
    pid = os.fork()
    if pid == 0:
        import ctypes

        os._exit(0 if ctypes.CDLL(None).unshare(0x40000000) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.slow
def test_crafted_files_are_answered_in_their_budget_and_memory(tmp_path, decoding, film, stream, greys):
    movie = film(tmp_path / "plain.mp4", stream(frames=greys(30)))
    movie_of_samples(movie, tmp_path / "samples.mp4")
    jpeg_of_scans(tmp_path / "scans.jpg", 100_000 // 12)
    gif_of_dots(tmp_path / "dots.gif", 19_999)
    png_of_chunks(tmp_path / "chunks.png", 1_200_000)
    png_that_unpacks(tmp_path / "zeros.png")
    large = np.zeros((5200, 7600, 3), dtype=np.uint8)
    film(tmp_path / "large.mp4", stream(frames=[large] * 4, options={"preset": "ultrafast"}))
    crafted = [path for path in sorted(tmp_path.iterdir()) if path != movie]
    read(decoding.open, movie)
    peaks: dict[int, int] = {}
    answers: dict[str, str] = {}

    def watch():
        while not is_over.wait(0.05):
            with suppress(psutil.NoSuchProcess):
                for each in decoders(decoding):
                    peaks[each.pid] = max(peaks.get(each.pid, 0), each.memory_info().rss)

    def attack(path):
        try:
            read(decoding.open, path, num_frames=4, max_wall_s=60.0)
            answers[path.name] = "frames"
        except MediaError as error:
            answers[path.name] = str(error.reason)

    is_over = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=attack, args=(path,)) for path in crafted]
    for thread in threads:
        thread.start()
    served = 0
    while any(thread.is_alive() for thread in threads):
        assert len(read(decoding.open, movie)[3]) == 4
        served += 1
    is_over.set()
    watcher.join()
    assert answers.keys() == {path.name for path in crafted}
    assert served >= 1
    assert answers["samples.mp4"] == Reason.UNREADABLE
    assert answers["scans.jpg"] == Reason.TIME_BUDGET
    assert answers["chunks.png"] == Reason.UNREADABLE
    assert max(peaks.values()) < MEMORY_MB << 20


def test_nothing_is_fetched(tmp_path, decoding):
    """A playlist names a listener of ours, under the names and suffixes of media."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
        texts = {
            "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n",
            "concat": f"ffconcat version 1.0\nfile '{address}'\n",
            "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
            f"<BaseURL>{address}</BaseURL></MPD>",
            "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
            "sequence": str(tmp_path / "%03d.png"),
        }
        for name, text in texts.items():
            for suffix in ("mp4", "m3u8", "jpg"):
                path = tmp_path / f"{name}.{suffix}"
                path.write_text(text)
                assert refusal(decoding, path) is Reason.UNSUPPORTED_FORMAT
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
