"""Which frames to take: spread over the time that the clip shows, not over its frame numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(starts: Sequence[float], last_shown: float, num_frames: int) -> list[int]:
    """Return positions of at most `num_frames` frames, one from the middle of each equal part of the clip.

    Args:
        starts: sorted presentation times of all frames, in any unit.
        last_shown: how long the last frame is shown, in that unit.
        num_frames: how many frames are wanted; fewer come back where one frame fills several parts.
    """
    if len(starts) <= num_frames:
        return list(range(len(starts)))
    times = np.asarray(starts, dtype=np.float64)
    whole = times[-1] - times[0] + last_shown
    middles = times[0] + (np.arange(num_frames) + 0.5) * whole / num_frames
    chosen = np.searchsorted(times, middles, side="right") - 1
    return [int(position) for position in np.unique(chosen)]
