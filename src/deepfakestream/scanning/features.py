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
    "coded_bits_per_px",
)
"""Keys of `media_features`, in order. The first four are absent where no face was found."""
MEASURED_ON_CROPS = ("luma",)
"""Of them, those that an item which is a face crop already shares with the file that the service would get.

Such an item is taken whole. No detector measured it, it is no file of a client, and its sharpness is that of
another resampling: compared with predictions, these numbers would differ by construction.
"""


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
    size_bytes: float,
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
        size_bytes: of the file.

    Returns:
        Finite floats: medians over the crops under `face_px`, `sharpness`, `luma` and `detector_score` (left
        out where N is 0: there is no such number), counts of crops and tracks, and the format. An image has
        `duration_s` and `fps` 0. `coded_bits_per_px` is the size of the file over all pixels of its frames:
        how strongly it is compressed.
    """
    per_crop = {"face_px": face_px, "sharpness": sharpness, "luma": luma, "detector_score": score}
    medians = {
        name: float(np.median(np.asarray(values))) for name, values in per_crop.items() if len(track_ids)
    }
    num_frames = max(1.0, _or_zero(duration_s) * _or_zero(fps))
    num_px = num_frames * max(1.0, float(width_px) * float(height_px))
    return medians | {
        "num_faces": float(len(track_ids)),
        "num_tracks": float(len(set(track_ids))),
        "width_px": float(width_px),
        "height_px": float(height_px),
        "duration_s": _or_zero(duration_s),
        "fps": _or_zero(fps),
        "coded_bits_per_px": 8.0 * float(size_bytes) / num_px,
    }


def _or_zero(value: float | None) -> float:
    return float(value) if value is not None and np.isfinite(value) else 0.0
