"""Which faces of different frames are one person: greedy matching of boxes, frame by frame.

Sampled frames lie up to seconds apart, so overlap alone is too strict: a face also continues a track when it
is near and of like size. It knows positions only, not identities: two people who swap places are swapped, and
a cut to another person in the same place continues the track.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deepfakestream.faces.boxes import area, centre_xy, iou
from deepfakestream.faces.types import BoxXYXY, Detection

MIN_IOU = 0.3
MAX_CENTRE_DISTANCE = 0.9
"""Between centres, over the side of a square as large as the smaller box."""
MAX_SIZE_RATIO = 1.6
"""Of the larger side to the smaller, each the root of its box's area."""
MAX_GAP_FRAMES = 3
"""Sampled frames for which a face may be out of sight before its track ends."""


@dataclass(slots=True)
class _Track:
    track_id: int
    box_xyxy: BoxXYXY
    last_frame: int


def assign_tracks(frames: Sequence[Sequence[Detection]]) -> list[list[int]]:
    """Return the track of every face of every frame, counted from 0 in order of first appearance.

    Two faces of one frame never share a track.
    """
    tracks: list[_Track] = []
    assigned: list[list[int]] = []
    for number, faces in enumerate(frames):
        alive = [track for track in tracks if number - track.last_frame <= MAX_GAP_FRAMES + 1]
        matches = _match(alive, faces)
        for position, face in enumerate(faces):
            if position not in matches:
                matches[position] = _Track(len(tracks), face.box_xyxy, number)
                tracks.append(matches[position])
            matches[position].box_xyxy = face.box_xyxy
            matches[position].last_frame = number
        assigned.append([matches[position].track_id for position in range(len(faces))])
    return assigned


def likeness(a: BoxXYXY, b: BoxXYXY) -> float:
    """Return how well two boxes agree, 0 when they cannot be one face, else up to 2.

    Args:
        a: left, top, right, bottom in pixels.
        b: left, top, right, bottom in pixels.
    """
    side_a, side_b = math.sqrt(area(a)), math.sqrt(area(b))
    if min(side_a, side_b) <= 0 or max(side_a, side_b) / min(side_a, side_b) > MAX_SIZE_RATIO:
        return 0.0
    (ax, ay), (bx, by) = centre_xy(a), centre_xy(b)
    distance = math.hypot(ax - bx, ay - by) / min(side_a, side_b)
    overlap = iou(a, b)
    if overlap < MIN_IOU and distance > MAX_CENTRE_DISTANCE:
        return 0.0
    return overlap + 1 / (1 + distance)


def _match(tracks: Sequence[_Track], faces: Sequence[Detection]) -> dict[int, _Track]:
    """Return the track that each face continues, the best pairs first."""
    pairs = [
        (likeness(track.box_xyxy, face.box_xyxy), -order, -position)
        for order, track in enumerate(tracks)
        for position, face in enumerate(faces)
    ]
    matches: dict[int, _Track] = {}
    taken: set[int] = set()
    for value, order, position in sorted(pairs, reverse=True):
        if value > 0 and -order not in taken and -position not in matches:
            matches[-position] = tracks[-order]
            taken.add(-order)
    return matches
