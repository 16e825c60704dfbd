"""Damaged media of every kind give frames or a reason, in time, and never end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

INPUTS = 4000
MAX_SECONDS = 1200
"""Of a machine that does much else; a free core needs one minute."""
SCRIPT = Path(__file__).with_name("fuzz_reader.py")
CLIPS = [
    ("mp4", "libx264"),
    ("mov", "mjpeg"),
    ("mkv", "libx264"),
    ("webm", "libvpx"),
    ("ts", "mpeg2video"),
    ("vob", "mpeg2video"),
    ("avi", "mpeg4"),
    ("flv", "flv"),
    ("wmv", "wmv2"),
    ("h264", "libx264"),
    ("hevc", "libx265"),
]


@pytest.fixture
def corpus(tmp_path, film, stream, greys, astronaut):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for suffix, codec in CLIPS:
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        frames = [np.ascontiguousarray(astronaut[k : k + 48, 200:264]) for k in range(12)]
        film(folder / f"{codec}.{suffix}", stream(frames=frames, codec=codec, pix_fmt=pix_fmt))
    film(
        folder / "fragments.mp4",
        stream(frames=greys(12)),
        stream(frames=greys(12), codec="mpeg4"),
        options={"movflags": "frag_keyframe+empty_moov"},
    )
    small = [Image.fromarray(astronaut[k : k + 48, 200:264]) for k in range(4)]
    small[0].save(folder / "a.jpg")
    small[0].save(folder / "progressive.jpg", progressive=True)
    small[0].convert("CMYK").save(folder / "cmyk.jpg")
    small[0].save(folder / "a.bmp")
    small[0].save(folder / "a.png", dpi=(72, 72))
    small[0].save(folder / "a.avif")
    for suffix in ("png", "gif", "webp", "avif", "tif"):
        small[0].save(folder / f"four.{suffix}", save_all=True, append_images=small[1:], duration=50)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("guided", [True, False])
def test_damaged_media_give_frames_or_a_reason(corpus, guided):
    if guided:
        pytest.importorskip("atheris", reason="install atheris for inputs that are guided by coverage")
    arguments = [str(SCRIPT), str(corpus), str(INPUTS)]
    without_atheris = f"import sys, runpy; sys.modules['atheris'] = None; sys.argv = {arguments!r}; "
    run = f"{without_atheris}runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    command = [sys.executable, *(arguments if guided else ["-c", run])]
    # Peak memory survives exec: without a small process between, libFuzzer would count that of pytest.
    command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
    done = subprocess.run(
        command, cwd=corpus.parent, capture_output=True, text=True, check=False, timeout=MAX_SECONDS
    )  # libFuzzer writes what it found where it runs
    kept = corpus / "current"
    assert done.returncode == 0, f"{kept} ({kept.stat().st_size} bytes):\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr[:3000]
