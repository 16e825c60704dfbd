"""What part of a video a verdict rests on: ranges with a scored face, and the others with the reason."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from deepfakestream.errors import Reason
from deepfakestream.faces.types import ExtractedFaces
from deepfakestream.scanning.result import Coverage, NotScored, SearchedFrame

_CUT_SHORT = (Reason.TRUNCATED, Reason.TIME_BUDGET)
_LEFT_OUT = (Reason.FACE_TOO_SMALL, Reason.FACE_CUT_OFF, Reason.PICTURE_OF_FACE)


def coverage_of(faces: ExtractedFaces) -> Coverage:
    """Return what of a file was searched and scored."""
    times = [frame.time_s for frame in faces.frames if frame.stream == 0]
    scored_at = {crop.time_s for crop in faces.crops if crop.stream == 0}
    num_faces = Counter(crop.frame_index for crop in faces.crops)
    frames = tuple(
        SearchedFrame(time_s=frame.time_s, stream=frame.stream, num_faces=num_faces[number])
        for number, frame in enumerate(faces.frames)
    )
    duration_s = faces.info.duration_s
    if not times or duration_s is None:
        return Coverage(
            frames_searched=faces.num_frames,
            frames_scored=len(scored_at),
            seconds_between_frames=None,
            scored_s=0.0,
            not_scored_s=0.0,
            not_scored=(),
            frames=frames,
        )
    missing = _missing(times, [time in scored_at for time in times], duration_s, faces.notes)
    not_scored_s = sum(each.end_s - each.start_s for each in missing)
    return Coverage(
        frames_searched=len(times),
        frames_scored=len(scored_at),
        seconds_between_frames=(times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None,
        scored_s=max(0.0, duration_s - not_scored_s),
        not_scored_s=not_scored_s,
        not_scored=missing,
        frames=frames,
    )


def _missing(
    times: Sequence[float], is_scored: Sequence[bool], duration_s: float, notes: Sequence[Reason]
) -> tuple[NotScored, ...]:
    cut_short = next((reason for reason in notes if reason in _CUT_SHORT), None)
    left_out = next((reason for reason in notes if reason in _LEFT_OUT), Reason.NO_FACE)
    reason = Reason.NO_FACE if Reason.NO_FACE in notes else left_out
    borders = [
        0.0,
        *((a + b) / 2 for a, b in itertools.pairwise(times)),
        max(duration_s, times[-1]),
    ]
    if cut_short:
        borders[-1] = times[-1]
    found: list[NotScored] = []
    for start_s, end_s, scored in zip(borders, borders[1:], is_scored, strict=False):
        if scored or end_s <= start_s:
            continue
        if found and found[-1].end_s == start_s:
            start_s = found.pop().start_s
        found.append(NotScored(start_s=start_s, end_s=end_s, reason=reason))
    if cut_short and duration_s > times[-1]:
        found.append(NotScored(start_s=times[-1], end_s=duration_s, reason=cut_short))
    return tuple(found)
