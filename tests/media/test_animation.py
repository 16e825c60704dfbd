from __future__ import annotations

import numpy as np
import pytest
from media_info import info_of
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.picture_blocks import read_gif
from deepfakestream.media.reader import sample_frames
from deepfakestream.media.types import MediaBudget


def animate(path, durations_ms):
    frames = [Image.fromarray(np.full((16, 24, 3), 10 * k, dtype=np.uint8)) for k in range(len(durations_ms))]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations_ms, loop=0, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animation_is_a_clip_sampled_by_time(tmp_path, suffix):
    path = animate(tmp_path / f"a.{suffix}", [100] * 4 + [400] * 3)
    sample = sample_frames(path, num_frames=4, budget=MediaBudget())
    assert sample.info.kind == "video"
    assert sample.info.num_frames == 7
    assert sample.info.duration_s == pytest.approx(1.6)
    assert [round(float(frame.rgb.mean()) / 10) for frame in sample.frames] == [2, 4, 5, 6]
    assert [frame.time_s for frame in sample.frames] == pytest.approx([0.2, 0.4, 0.8, 1.2])
    assert [frame.index for frame in sample.frames] == [0, 1, 2, 3]


def test_unset_durations_count_as_browsers_count_them(tmp_path):
    path = animate(tmp_path / "a.gif", [0, 0, 0])
    assert info_of(path).duration_s == pytest.approx(0.3)


def test_too_many_frames_are_refused(tmp_path):
    path = animate(tmp_path / "a.gif", [100] * 6)
    with pytest.raises(MediaError, match="6 frames exceed the limit of 5") as caught:
        info_of(path, MediaBudget(max_decoded_frames=5))
    assert caught.value.reason is Reason.TOO_LONG


def test_too_long_is_refused(tmp_path):
    path = animate(tmp_path / "a.gif", [1000] * 6)
    with pytest.raises(MediaError, match="6 s exceed the limit of 5 s"):
        info_of(path, MediaBudget(max_duration_s=5))


def test_wall_budget_ends_the_reading(tmp_path):
    path = animate(tmp_path / "a.gif", [100] * 6)
    with pytest.raises(MediaError) as caught:
        sample_frames(path, num_frames=4, budget=MediaBudget(max_wall_s=0.0))
    assert caught.value.reason is Reason.TIME_BUDGET


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_cut_animation_gives_what_there_is(tmp_path, suffix):
    whole = animate(tmp_path / f"whole.{suffix}", [100] * 20)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    sample = sample_frames(path, num_frames=8, budget=MediaBudget())
    assert 1 <= len(sample.frames) <= 8
    assert float(sample.frames[-1].rgb.mean()) < 130


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
def test_no_damage_is_anything_but_a_refusal(tmp_path, suffix):
    """Cut anywhere, or with a byte changed, an animation gives frames or says why not."""
    whole = animate(tmp_path / f"whole.{suffix}", [100] * 6).read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    rng = np.random.default_rng(4)
    outcomes = set()
    for position in rng.integers(8, len(whole), 60):
        changed = bytearray(whole)
        changed[position] ^= int(rng.integers(1, 256))
        for content in (whole[:position], bytes(changed)):
            path.write_bytes(content)
            try:
                info_of(path)
                outcomes.add(len(sample_frames(path, num_frames=4, budget=MediaBudget()).frames) > 0)
            except MediaError:
                outcomes.add(False)
    assert outcomes == {True, False}


def test_frames_are_counted_no_further_than_the_budget(tmp_path):
    """Frames of a GIF are found by passing all before; an upload could hold millions."""
    path = animate(tmp_path / "a.gif", [100] * 6)
    path.write_bytes(path.read_bytes()[:-1] + b"\x2c" * 400)
    with pytest.raises(MediaError, match="3 frames exceed the limit of 2"):
        info_of(path, MediaBudget(max_decoded_frames=2))


def test_a_gif_over_the_budget_is_refused_before_it_is_decoded(tmp_path):
    """With no time for a single frame, the refusal is still that of the frames."""
    path = animate(tmp_path / "a.gif", [100] * 6)
    with pytest.raises(MediaError, match="6 frames exceed the limit of 5"):
        info_of(path, MediaBudget(max_decoded_frames=5, max_wall_s=0.0))


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_frames_of_a_gif_are_counted_as_pillow_counts_them(tmp_path, num_frames):
    rng = np.random.default_rng(3)
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)) for _ in range(num_frames)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, loop=0, comment=b"c" * 600)
    assert read_gif(path, at_most=1000).durations_ms == (50,) * num_frames
    assert read_gif(path, at_most=1000).is_whole
    path.write_bytes(path.read_bytes().removesuffix(b";"))
    assert read_gif(path, at_most=1000).durations_ms == (50,) * num_frames
    assert not read_gif(path, at_most=1000).is_whole
    assert len(read_gif(path, at_most=1).durations_ms) == 1
