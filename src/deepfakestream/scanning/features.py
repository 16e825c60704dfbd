"""What the drift check knows about a file: a few numbers about its faces and its format, no pixels.

The service computes them for every prediction and evaluation for every test item, with this one function, so
that the log and the reference can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

FEATURE_NAMES = (
    "face_px",
    "sharpness",
    "luma",
    "detector_score",
    "num_faces",
    "num_tracks",
    "width_px",
    "height_px",
    "duration_s",
    "fps",
)
"""Keys of `media_features`, in order. The first four are absent where no face was found."""


def media_features(  # noqa: PLR0913 - one value a column
    *,
    face_px: ArrayLike,
    sharpness: ArrayLike,
    luma: ArrayLike,
    score: ArrayLike,
    track_ids: Sequence[int],
    width_px: float,
    height_px: float,
    duration_s: float | None,
    fps: float | None,
) -> dict[str, float]:
    """Return the numbers that describe one file to the drift check.

    Args:
        face_px: shorter box side of every crop, `(N,)`.
        sharpness: variance of the Laplacian of every crop, `(N,)`.
        luma: mean luma of every crop, 0-255, `(N,)`.
        score: detector confidence of every crop, `(N,)`.
        track_ids: track of every crop, `(N,)`.
        width_px: width of the upright picture.
        height_px: height of the upright picture.
        duration_s: length of a video; None (or NaN, as a table has it) for an image.
        fps: frame rate of a video; None (or NaN) for an image.

    Returns:
        Finite floats: medians over the crops under `face_px`, `sharpness`, `luma` and `detector_score` (left
        out where N is 0: there is no such number), counts of crops and tracks, and the format. An image has
        `duration_s` and `fps` 0.
    """
    per_crop = {"face_px": face_px, "sharpness": sharpness, "luma": luma, "detector_score": score}
    medians = {
        name: float(np.median(np.asarray(values))) for name, values in per_crop.items() if len(track_ids)
    }
    return medians | {
        "num_faces": float(len(track_ids)),
        "num_tracks": float(len(set(track_ids))),
        "width_px": float(width_px),
        "height_px": float(height_px),
        "duration_s": _or_zero(duration_s),
        "fps": _or_zero(fps),
    }


def _or_zero(value: float | None) -> float:
    return float(value) if value is not None and np.isfinite(value) else 0.0
