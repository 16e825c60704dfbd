"""Animated GIF, WebP, PNG and AVIF as short clips."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, count
from pathlib import Path

from PIL import Image

from deepfakestream.errors import Reason
from deepfakestream.media.gif_blocks import count_frames
from deepfakestream.media.limits import check_duration, check_num_frames
from deepfakestream.media.schedule import spread
from deepfakestream.media.stills import DAMAGED, to_rgb
from deepfakestream.media.stopwatch import Stopwatch
from deepfakestream.media.types import Frame, MediaBudget, MediaInfo

DEFAULT_FRAME_MS = 100
"""How long browsers show a frame whose duration is given as (nearly) zero."""
_TOO_SHORT_MS = 11


def animation_info(path: Path, picture: Image.Image, budget: MediaBudget) -> MediaInfo:
    """Return the facts of an animation; its duration comes from reading through the frames once.

    Raises:
        MediaError: it has more frames or is longer than the budget allows.
    """
    durations, _ = _durations_ms(path, picture, budget, Stopwatch())
    total_ms = sum(durations)
    check_duration(path, total_ms / 1000, budget)
    kind = (picture.format or "").lower()
    return MediaInfo(
        kind="video",
        container=kind,
        codec=kind,
        width_px=picture.size[0],
        height_px=picture.size[1],
        size_bytes=path.stat().st_size,
        duration_s=total_ms / 1000,
        fps=len(durations) * 1000 / total_ms,
        num_frames=len(durations),
    )


def animation_frames(
    path: Path, picture: Image.Image, num_frames: int, budget: MediaBudget, notes: set[Reason]
) -> Iterator[Frame]:
    """Yield frames spread evenly over the animation; adds to `notes` what cut it short."""
    watch = Stopwatch()
    durations, is_whole = _durations_ms(path, picture, budget, watch)
    if not is_whole:
        notes.add(Reason.TIME_BUDGET if watch.elapsed_s > budget.max_wall_s else Reason.TRUNCATED)
    starts = [0, *accumulate(durations)][: len(durations)]
    for index, ordinal in enumerate(spread(starts, durations[-1], num_frames)):
        if watch.elapsed_s > budget.max_wall_s:
            notes.add(Reason.TIME_BUDGET)
            return
        try:
            picture.seek(ordinal)
            picture.load()
        except DAMAGED:
            notes.add(Reason.TRUNCATED)
            return
        frame = Frame(index=index, time_s=starts[ordinal] / 1000, rgb=to_rgb(path, picture))
        watch.pause()
        yield frame
        watch.resume()


def _num_frames(path: Path, picture: Image.Image, budget: MediaBudget) -> int:
    if picture.format == "GIF":  # Pillow would read it to its end to count them, however long that takes
        return count_frames(path, budget.max_decoded_frames + 1)
    return getattr(picture, "n_frames", 1)


def _durations_ms(
    path: Path, picture: Image.Image, budget: MediaBudget, watch: Stopwatch
) -> tuple[list[int], bool]:
    """Return how long each frame is shown, and whether these are all frames.

    Raises:
        MediaError: there are more frames than the budget allows.
    """
    check_num_frames(path, _num_frames(path, picture, budget), budget)
    durations: list[int] = []
    is_whole = False
    for ordinal in count():
        check_num_frames(path, ordinal, budget)  # a damaged chain of blocks may hold more than were counted
        if watch.elapsed_s > budget.max_wall_s:
            break
        try:
            picture.seek(ordinal)
        except EOFError:
            is_whole = True
            break
        except DAMAGED:
            break
        try:
            picture.load()
        except DAMAGED:
            break
        shown_ms = round(picture.info.get("duration", 0))
        durations.append(shown_ms if shown_ms >= _TOO_SHORT_MS else DEFAULT_FRAME_MS)
    return durations or [DEFAULT_FRAME_MS], is_whole
