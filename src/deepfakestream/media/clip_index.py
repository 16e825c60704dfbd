"""Presentation times and keyframes of a video, read from its packets without decoding.

Headers lie about durations and frame counts, and frame rates vary; the packets are what can be shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av.error
import numpy as np

from deepfakestream.errors import Reason
from deepfakestream.media.clips import stated_duration_s
from deepfakestream.media.stopwatch import Stopwatch
from deepfakestream.media.types import MediaBudget

MAX_PACKETS = 2_000_000
_ALLOWED_SHORTFALL_S = 1.0
_ALLOWED_SHORTFALL_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIndex:
    """When each frame is shown, in units of the stream's time base."""

    times: tuple[int, ...]
    """Sorted and distinct; counts 0, 1, 2 … where the container states no presentation times."""
    keyframes: tuple[int, ...]
    """The times at which decoding can start, sorted."""
    unit_s: float
    """Seconds of one unit."""
    is_timed: bool
    """False where `times` only count frames in the order of decoding."""
    last_held: int = 0
    """How long the last frame's packet says that it is shown; 0 where it does not say."""

    @property
    def last_shown(self) -> float:
        """How long the last frame is shown: as long as most others, or longer where its packet says so."""
        usual = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        return max(usual, float(self.last_held))

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last frame's end."""
        return (self.times[-1] - self.times[0] + self.last_shown) * self.unit_s if self.times else 0.0

    def keyframe_before(self, time: int) -> int | None:
        """Return the last keyframe at or before the time, None where there is none."""
        position = bisect_right(self.keyframes, time)
        return self.keyframes[position - 1] if position else None

    def keyframes_back_from(self, keyframe: int) -> list[int]:
        """Return the keyframe and, for demuxers that land behind their target, three ever earlier ones."""
        position = bisect_right(self.keyframes, keyframe) - 1
        return [self.keyframes[max(0, position - back)] for back in (0, 1, 3, len(self.keyframes))]

    def num_between(self, earlier: int | None, later: int) -> int:
        """Return how many frames lie between two times; `earlier` is None before the first frame."""
        start = 0 if earlier is None else bisect_right(self.times, earlier)
        return max(0, bisect_right(self.times, later) - 1 - start)


def read_index(
    container: Any, stream: Any, budget: MediaBudget, watch: Stopwatch, notes: set[Reason]
) -> ClipIndex:
    """Read every packet of the stream once; adds to `notes` what cut the reading short."""
    times: list[int | None] = []
    keyframes: list[int | None] = []
    last: tuple[int, int] = (-(2**63), 0)
    for packet in _packets(container, stream, notes):
        if packet.size == 0 or packet.is_discard:
            continue
        times.append(packet.pts)
        if packet.is_keyframe:
            keyframes.append(packet.pts)
        if packet.pts is not None:
            last = max(last, (packet.pts, packet.duration or 0))
        if len(times) >= MAX_PACKETS or watch.elapsed_s > budget.max_wall_s:
            notes.add(Reason.TIME_BUDGET)
            break
    index = _timed(times, keyframes, stream, last[1]) if None not in times else _counted(len(times), stream)
    if Reason.TIME_BUDGET not in notes and _ends_early(container, stream, index):
        notes.add(Reason.TRUNCATED)
    return index


def _packets(container: Any, stream: Any, notes: set[Reason]) -> Iterator[Any]:
    try:
        yield from container.demux(stream)
    except (av.error.FFmpegError, OSError):
        notes.add(Reason.TRUNCATED)


def _timed(
    times: Sequence[int | None], keyframes: Sequence[int | None], stream: Any, last_held: int
) -> ClipIndex:
    return ClipIndex(
        times=tuple(sorted({time for time in times if time is not None})),
        keyframes=tuple(sorted({time for time in keyframes if time is not None})),
        unit_s=float(stream.time_base),
        is_timed=True,
        last_held=last_held,
    )


def _counted(num_frames: int, stream: Any) -> ClipIndex:
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    return ClipIndex(times=tuple(range(num_frames)), keyframes=(0,), unit_s=1 / rate, is_timed=False)


def _ends_early(container: Any, stream: Any, index: ClipIndex) -> bool:
    stated_s = stated_duration_s(container, stream)
    if stated_s is None or (stream.duration is None and len(container.streams) > 1):
        return False  # a longer sound track may be what the container's duration measures
    return stated_s - index.duration_s > max(_ALLOWED_SHORTFALL_S, _ALLOWED_SHORTFALL_SHARE * stated_s)
