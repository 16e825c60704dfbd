"""One clock for a film, and which of its frames to decode.

Headers lie about durations and counts, frame rates vary, and clocks of joined recordings start again or leap.
The packets are what can be shown: their order, and their times as far as these make sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_BACK_S = 0.1
"""By how much times may go back before that counts as a clock that starts again, as in ffmpeg."""
MAX_REORDERED_S = 2.0
"""The same between keyframes, where some containers give the times of showing for those of decoding."""
MAX_AHEAD_S = 10.0
"""By how much the times of a recording that may be joined can leap and still count as a gap, as in ffmpeg."""
MAX_HELD_S = 108_000.0
"""The same for files whose frames may be held for long: 30 hours, as in ffmpeg."""
MIN_TIMED_SHARE = 0.5
"""Of the frames that must have times of their own; else frames are counted."""
USUAL_RATE = 25.0
MAX_RATE = 240.0
"""Frames a second beyond this, or below one, are a mistake in the header."""
MIN_SKIPPED_FRAMES = 24
"""Passing over fewer packets than this costs more, in a decoder that starts again, than it saves."""


@dataclass(slots=True)
class Packets:
    """What the packets of one stream say, in the order of decoding."""

    decoding: list[int | None]
    shown: list[int | None]
    held: list[int]
    is_key: list[bool]
    is_hidden: list[bool]
    """Needed for decoding only: an edit list leaves them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The frames of a stream in the order in which they are shown, on a clock that never jumps."""

    ordinals: Ints
    """Each shown frame's position in the order of decoding."""
    parts: Ints
    """In which recording each is, counted from 0, where several were joined."""
    durations: Floats
    """How long each is shown, in units."""
    unit_s: float
    """Seconds of one unit."""
    starting_points: Ints
    """For each shown frame, the position in the order of decoding at which to begin for it."""
    num_packets: int
    is_counted: bool
    """Whether times made no sense, so that frames are counted in the order of decoding."""
    num_restarts: int
    num_leaps: int

    num_undecodable: int
    """Frames before the first keyframe, of the film or of a part: no player can show them."""

    @property
    def starts_s(self) -> Floats:
        """When each frame is shown, from 0."""
        return np.concatenate([[0.0], np.cumsum(self.durations)])[: len(self.durations)] * self.unit_s

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last one's end."""
        return float(self.durations.sum()) * self.unit_s

    @property
    def film_s(self) -> float:
        """The duration, where no frame counts for more than `MAX_AHEAD_S`: what is there to be searched."""
        return float(np.minimum(self.durations * self.unit_s, MAX_AHEAD_S).sum())


def build_timeline(
    packets: Packets,
    *,
    unit_s: float,
    rate: float | None,
    stated_s: float | None,
    reorder_depth: int,
    may_be_joined: bool,
) -> Timeline:
    """Return the clock of a stream.

    Args:
        packets: all packets of the stream.
        unit_s: seconds of one unit of their times.
        rate: frames a second by the header; None where it does not say.
        stated_s: length by the header; None where it does not say.
        reorder_depth: by how many frames the order of decoding may differ from that of showing.
        may_be_joined: whether the format is one of recordings and broadcasts, whose clocks may leap.
    """
    usual_s = 1 / rate if rate and _is_plausible(rate) else 1 / USUAL_RATE
    tolerance_s = max(MAX_BACK_S, (reorder_depth + 2) * usual_s)
    offsets, parts, num_restarts, num_leaps = _unwrapped(
        packets,
        back=round(tolerance_s / unit_s),
        reordered=round(max(MAX_REORDERED_S, 20 * usual_s) / unit_s),
        ahead=round((MAX_AHEAD_S if may_be_joined else MAX_HELD_S) / unit_s),
        usual=max(1, round(usual_s / unit_s)),
    )
    is_shown = ~np.array(packets.is_hidden, dtype=bool)
    is_timed = np.array([time is not None for time in packets.shown], dtype=bool)
    times = np.array([time or 0 for time in packets.shown], dtype=np.int64) + offsets
    candidates = np.flatnonzero(is_shown & is_timed)
    num_shown = int(is_shown.sum())
    distinct = len(np.unique(times[candidates]))
    is_counted = num_shown > 1 and (
        min(len(candidates), distinct) < MIN_TIMED_SHARE * num_shown
        or _each_lasts_as_long_as_all(times[candidates], unit_s, stated_s)
    )
    is_counted = is_counted or not len(candidates)
    if is_counted:
        candidates = np.flatnonzero(is_shown)
        times, parts = np.arange(len(packets.shown)), np.zeros_like(parts)
        num_restarts = num_leaps = 0
        unit_s = _counted_unit_s(packets, unit_s, usual_s, stated_s)
    starting, is_reachable = _starting_points(candidates, np.flatnonzero(packets.is_key), times, parts)
    order = np.lexsort((times[candidates], parts[candidates]))
    order = order[is_reachable[order]]
    ordinals = candidates[order]
    if is_counted:
        durations = np.ones(len(ordinals))
    else:
        gaps = np.diff(times[ordinals]).astype(np.float64)
        usual = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else usual_s / unit_s
        last_held = packets.held[ordinals[-1]] if len(ordinals) else 0
        held = np.where(gaps > 0, gaps, usual)
        durations = np.append(held, max(usual, last_held))[: len(ordinals)]
    return Timeline(
        ordinals=ordinals,
        parts=parts[ordinals],
        durations=durations,
        unit_s=unit_s,
        starting_points=starting[order],
        num_packets=len(packets.shown),
        is_counted=is_counted,
        num_restarts=num_restarts,
        num_leaps=num_leaps,
        num_undecodable=len(candidates) - len(ordinals),
    )


def spread(durations: ArrayLike, num_frames: int) -> list[int]:
    """Return positions of at most `num_frames` frames, one from the middle of each equal part of the time.

    No frame counts for longer than one part lasts: where one is held for long, or the clock leaps, the others
    are still searched evenly. So as many come back as were asked for, if there are so many.

    Args:
        durations: `(N,)`, how long each frame is shown, in any unit.
        num_frames: how many are wanted.
    """
    lengths = np.asarray(durations, dtype=np.float64)
    if len(lengths) <= num_frames:
        return list(range(len(lengths)))
    longest_first = np.sort(lengths)[::-1]
    rest = lengths.sum() - np.concatenate([[0.0], np.cumsum(longest_first[: num_frames - 1])])
    parts = rest / (num_frames - np.arange(num_frames))
    # the fewest longest frames to shorten until the next one lasts no longer than a part
    shortened = next((k for k in range(num_frames) if longest_first[k] <= parts[k]), num_frames - 1)
    if shortened:
        lengths = np.minimum(lengths, parts[shortened])
    ends = np.cumsum(lengths)
    middles = (np.arange(num_frames) + 0.5) * ends[-1] / num_frames
    chosen = np.searchsorted(ends, middles, side="right")
    return [int(position) for position in np.unique(np.minimum(chosen, len(lengths) - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which shown frames of a stream to decode."""

    positions: tuple[int, ...]
    """In the order of showing."""
    leaves_out: float
    """Length of the longest stretch that decoding cannot reach, as a share of all frames."""


def plan(timeline: Timeline, wanted: Sequence[int], max_decoded_frames: int) -> Plan:
    """Return frames at or near the wanted ones that can be reached by decoding so many frames.

    Where exact frames cost too much, each stretch that begins with a keyframe is decoded up to a depth.

    Args:
        timeline: frames and keyframes of a stream.
        wanted: positions of the wanted frames.
        max_decoded_frames: how many frames may be decoded.
    """
    ordinals, starting = timeline.ordinals, timeline.starting_points
    depths = {position: int(ordinals[position] - starting[position]) + 1 for position in wanted}
    groups: dict[int, list[int]] = {}
    for position in wanted:
        groups.setdefault(int(starting[position]), []).append(position)
    deepest = np.array([max(depths[position] for position in group) for group in groups.values()])
    if not len(deepest) or deepest.sum() <= max_decoded_frames:
        return Plan(positions=tuple(wanted), leaves_out=0.0)
    limit = _depth_limit(deepest, max_decoded_frames)
    chosen: set[int] = set()
    left_out = 0
    for start, group in groups.items():
        depth = max(depths[position] for position in group)
        if depth <= limit:
            chosen.update(group)
            continue
        left_out = max(left_out, depth - limit)
        reachable = np.flatnonzero((starting == start) & (ordinals < start + limit))
        if not len(reachable):
            reachable = np.flatnonzero(starting == start)[:1]
        # As many as are wanted, evenly, from the first on.
        chosen.update(int(reachable[k * len(reachable) // len(group)]) for k in range(len(group)))
    return Plan(positions=tuple(sorted(chosen)), leaves_out=left_out / max(1, len(ordinals)))


def _depth_limit(deepest: Ints, budget: int) -> int:
    """Return the largest depth, at least 1, for which all groups together stay within the budget."""
    low, high = 1, int(deepest.max())
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(deepest, middle).sum() <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def _unwrapped(
    packets: Packets, *, back: int, reordered: int, ahead: int, usual: int
) -> tuple[Ints, Ints, int, int]:
    """Return what to add to each packet's times, in which part it is, and how often the clock jumped."""
    stamps = packets.decoding
    if sum(stamp is not None for stamp in stamps) < MIN_TIMED_SHARE * len(stamps):
        stamps = packets.shown
    offsets = np.zeros(len(packets.shown), dtype=np.int64)
    parts = np.zeros(len(packets.shown), dtype=np.int64)
    offset = part = num_restarts = num_leaps = 0
    latest: int | None = None
    step = usual
    for number, (stamp, held, is_key) in enumerate(zip(stamps, packets.held, packets.is_key, strict=True)):
        if stamp is not None:
            position = stamp + offset
            allowed = back if is_key else reordered
            if latest is not None and (position < latest - allowed or position > latest + ahead):
                num_restarts += position < latest
                num_leaps += position > latest
                offset += latest + step - position
                position = latest + step
                part += 1
            latest = position if latest is None else max(latest, position)
            step = held if 0 < held <= ahead else usual
        offsets[number], parts[number] = offset, part
    return offsets, parts, num_restarts, num_leaps


def _counted_unit_s(packets: Packets, unit_s: float, usual_s: float, stated_s: float | None) -> float:
    """Return how long a frame without a time of its own lasts."""
    known = np.array([time for time in packets.decoding if time is not None], dtype=np.int64)
    steps = np.diff(known)
    if len(steps) and (steps > 0).mean() > MIN_TIMED_SHARE:
        step_s = float(np.median(steps[steps > 0])) * unit_s
        if not stated_s or step_s < 0.99 * stated_s:
            return step_s
    if stated_s and _is_plausible(len(packets.shown) / stated_s):
        return stated_s / len(packets.shown)
    return usual_s


def _each_lasts_as_long_as_all(times: Ints, unit_s: float, stated_s: float | None) -> bool:
    """Tell whether FFmpeg, for want of times, gave each frame the length of the whole film."""
    steps = np.diff(np.sort(times))
    return bool(stated_s and len(steps) > 1 and abs(np.median(steps) * unit_s / stated_s - 1) < 0.01)


def _is_plausible(rate: float) -> bool:
    return 1 <= rate <= MAX_RATE


def _starting_points(ordinals: Ints, keys: Ints, times: Ints, parts: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the keyframe at which decoding must begin for each frame, and whether there is one in its part.

    A frame that is decoded after a keyframe but shown before it needs the keyframe before that.
    """
    if not len(keys):
        return np.zeros(len(ordinals), dtype=np.int64), np.ones(len(ordinals), dtype=bool)
    nearest = np.searchsorted(keys, ordinals, side="right") - 1
    nearest -= (nearest >= 0) & (times[ordinals] < times[keys[np.maximum(nearest, 0)]])
    starting = keys[np.maximum(nearest, 0)]
    return starting, (nearest >= 0) & (parts[starting] == parts[ordinals])
