"""Which faces a file is about: pictures of faces are no people, and passers-by do not carry a file's label.

Two rules on tracks, with their evidence in docs/FACE_DETECTION.md:

- A face that is still for seconds, next to one that moves, is a picture: a poster, a drawing, a painting.
  A living face's landmarks wander by 2 % of its size and more, a picture's by the codec's noise.
- Of the faces of a fake, those far less prominent than the most prominent one are not what was faked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepfakestream.faces.types import FaceCrop

MAX_STILL = 0.012
"""Wandering of the landmarks, over the face's shorter side, up to which a face counts as still."""
STILL_QUANTILE = 0.75
"""Share of a track's frames that must be that still: one odd frame makes no picture alive."""
MIN_SPAN_S = 4.0
"""Shorter tracks are not judged: people do keep still for two or three seconds."""
MIN_FRAMES = 5
MIN_PROMINENCE = 0.25
"""Of a subject's summed box area to that of the file's most prominent track."""


def pictures_of_faces(crops: Sequence[FaceCrop]) -> frozenset[int]:
    """Return the tracks that show a picture of a face; none where no face in the file moves."""
    tracks: dict[int, list[FaceCrop]] = {}
    for crop in crops:
        tracks.setdefault(crop.track_id, []).append(crop)
    wandering = {
        track_id: landmark_wandering(track)
        for track_id, track in tracks.items()
        if (len(track) >= MIN_FRAMES and track[-1].time_s - track[0].time_s >= MIN_SPAN_S)
    }
    still = frozenset(track_id for track_id, value in wandering.items() if value <= MAX_STILL)
    return still if len(still) < len(wandering) else frozenset()


def landmark_wandering(track: Sequence[FaceCrop]) -> float:
    """Return how far a track's landmarks are from their usual place, over the face's shorter side.

    The root mean square distance of the five points from their medians, of which the frame at
    `STILL_QUANTILE` counts. A moving camera makes every face wander.
    """
    points_xy = np.stack([crop.landmarks_xy for crop in track]).astype(np.float64)
    offsets = points_xy - np.median(points_xy, axis=0)
    distances_px = np.sqrt((offsets**2).sum(axis=2).mean(axis=1))
    face_px = float(np.median([crop.face_px for crop in track]))
    return float(np.quantile(distances_px, STILL_QUANTILE, method="lower")) / face_px


def is_subject(
    media_ids: Sequence[str] | NDArray[np.str_], track_ids: ArrayLike, face_px: ArrayLike
) -> NDArray[np.bool_]:
    """Return which faces `(N,)` belong to the subjects of their files.

    A track's prominence is its summed squared size: how large it is, and for how long. A file's most
    prominent track is always a subject, the others are from `MIN_PROMINENCE` of it on.

    Args:
        media_ids: file of each face.
        track_ids: track of each face within its file.
        face_px: shorter box side of each face.
    """
    files, file_of = np.unique(np.asarray(media_ids, dtype=str), return_inverse=True)
    numbers = np.asarray(track_ids, dtype=np.int64)
    _, track_of = np.unique(np.stack([file_of, numbers]), axis=1, return_inverse=True)
    track_of = track_of.reshape(-1)
    areas = np.bincount(track_of, weights=np.asarray(face_px, dtype=np.float64) ** 2)
    largest = np.zeros(len(files))
    np.maximum.at(largest, file_of, areas[track_of])
    chosen: NDArray[np.bool_] = areas[track_of] >= MIN_PROMINENCE * largest[file_of]
    return chosen
