"""A file is opened, indexed and decoded once, whatever its kind."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, WebPImagePlugin

from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget

OPENED: Counter[str] = Counter()


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        OPENED[str(arguments[0])] += 1


sys.addaudithook(_count)


@pytest.fixture
def opened() -> Counter[str]:
    OPENED.clear()
    return OPENED


def animation(path, count):
    rng = np.random.default_rng(1)
    frames = [Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)) for _ in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, loop=0)
    return path


@pytest.mark.parametrize(
    ("suffix", "owner", "name"),
    [("gif", GifImagePlugin.GifImageFile, "_seek"), ("webp", WebPImagePlugin.WebPImageFile, "_get_next")],
)
def test_each_frame_of_an_animation_is_decoded_once(tmp_path, monkeypatch, suffix, owner, name):
    path = animation(tmp_path / f"a.{suffix}", 60)
    calls = []
    decode = getattr(owner, name)

    def counted(self, *arguments):
        calls.append(arguments)
        return decode(self, *arguments)

    monkeypatch.setattr(owner, name, counted)
    with open_media(path, MediaBudget()) as media:
        assert media.kind == "video"
        assert media.info.num_frames == 60
        frames = list(media.frames(16))
    assert len(frames) == 16
    assert len(calls) <= 62  # Pillow itself looks at the first frames when it opens a file


def test_a_video_is_read_twice_for_index_and_frames(tmp_path, film, stream, greys, opened):
    path = film(tmp_path / "a.mp4", stream(frames=greys(60)))
    opened.clear()
    with open_media(path, MediaBudget()) as media:
        assert media.info.num_frames == 60
        list(media.frames(16))
    # its first bytes, Pillow's look at them, its boxes, its packets, its frames
    assert opened[str(path)] <= 5


def test_frames_between_the_wanted_ones_are_not_decoded_again(tmp_path, film, stream, greys, monkeypatch):
    from deepfakestream.media.clip_frames import PieceReader

    path = film(tmp_path / "a.mp4", stream(frames=greys(600), keyframe_every=12))
    fed = []
    decode = PieceReader._decode

    def counted(self, packet):
        fed.append(packet.opaque)
        decode(self, packet)

    monkeypatch.setattr(PieceReader, "_decode", counted)
    with open_media(path, MediaBudget()) as media:
        list(media.frames(6))
    numbers = [number for number in fed if number is not None]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) < 6 * 24
