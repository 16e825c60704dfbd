"""From face logits to the score of a file: over the frames of a track, over tracks, then calibrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepfakestream.arrays import FloatArray
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec, DetectorSpec

NUM_RESAMPLES = 400
TRIM_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaScore:
    """The score of one file and of its parts; every `p_fake` is calibrated the same way."""

    logit: float
    p_fake: float
    interval: tuple[float, float] | None
    """95 % interval from resampling the deciding track's frames; None with fewer than two."""
    deciding_track: int
    track_p_fake: dict[int, float]
    face_p_fake: FloatArray


def calibrate(logits: FloatArray, spec: CalibrationSpec) -> FloatArray:
    """Return the probabilities of being fake that belong to the logits.

    Args:
        logits: `(N,)` log-odds of a fake.
        spec: calibration of the model.
    """
    scaled = np.clip(spec.slope * np.asarray(logits, dtype=np.float64) + spec.intercept, -60.0, 60.0)
    probabilities: FloatArray = 1.0 / (1.0 + np.exp(-scaled))
    return probabilities


def probability(logit: float, spec: CalibrationSpec) -> float:
    """Return the probability of being fake that belongs to one logit.

    Args:
        logit: log-odds of a fake.
        spec: calibration of the model.
    """
    return float(calibrate(np.array([logit]), spec)[0])


def aggregate(logits: NDArray[np.floating], track_ids: NDArray[np.integer], spec: DetectorSpec) -> MediaScore:
    """Return the score of a file from the logits `(N,)` of its faces and the track `(N,)` of each.

    Args:
        logits: `(N,)` log-odds of a fake.
        track_ids: `(N,)` track of each face.
        spec: of the model.

    Raises:
        ValueError: there is no face; a file without faces has no score.
    """
    values = np.asarray(logits, dtype=np.float64)
    tracks = np.asarray(track_ids)
    if len(values) == 0:
        raise ValueError("a file without faces has no score")
    by_track = _by_track(values, tracks)
    track_logits = {track: _over_frames(frames, spec.aggregation) for track, frames in by_track.items()}
    deciding = _deciding_track(by_track, track_logits, spec.aggregation)
    return MediaScore(
        logit=track_logits[deciding],
        p_fake=probability(track_logits[deciding], spec.calibration),
        interval=_interval(by_track[deciding], spec),
        deciding_track=deciding,
        track_p_fake={t: probability(logit, spec.calibration) for t, logit in track_logits.items()},
        face_p_fake=calibrate(values, spec.calibration),
    )


def media_logit(logits: FloatArray, track_ids: NDArray[np.integer], spec: AggregationSpec) -> float:
    """Return the logit of a file as `aggregate` has it, without its interval and parts; needs a face.

    Args:
        logits: `(N,)` log-odds of a fake.
        track_ids: `(N,)` track of each face.
        spec: aggregation of the model.
    """
    return float(_over_frames(deciding_frames(logits, track_ids, spec), spec))


def deciding_frames(logits: FloatArray, track_ids: NDArray[np.integer], spec: AggregationSpec) -> FloatArray:
    """Return the logits of the track that decides about a file with at least one face.

    Args:
        logits: `(N,)` log-odds of a fake.
        track_ids: `(N,)` track of each face.
        spec: aggregation of the model.
    """
    by_track = _by_track(logits, track_ids)
    track_logits = {track: _over_frames(frames, spec) for track, frames in by_track.items()}
    return by_track[_deciding_track(by_track, track_logits, spec)]


def _by_track(logits: FloatArray, track_ids: NDArray[np.integer]) -> dict[int, FloatArray]:
    return {int(track): logits[track_ids == track] for track in np.unique(track_ids)}


def _deciding_track(
    by_track: dict[int, FloatArray], track_logits: dict[int, float], spec: AggregationSpec
) -> int:
    long_enough = [track for track, frames in by_track.items() if len(frames) >= spec.min_track_frames]
    candidates = long_enough or list(by_track)
    return max(candidates, key=lambda track: (track_logits[track], -track))


def _over_frames(frames: FloatArray, spec: AggregationSpec) -> float:
    """Return a track's logit from those of its frames, `(F,)`."""
    return float(_reduce(frames[None], spec)[0])


def _reduce(frames: FloatArray, spec: AggregationSpec) -> FloatArray:
    """Return the logits `(N,)` of tracks from those of their frames, `(N, F)`."""
    match spec.frames:
        case "median":
            return np.asarray(np.median(frames, axis=1))
        case "mean":
            return np.asarray(frames.mean(axis=1))
        case "confident":
            kept = -(-frames.shape[1] // 2)
            farthest = np.argsort(-np.abs(frames), axis=1, kind="stable")[:, :kept]
            return np.asarray(np.take_along_axis(frames, farthest, axis=1).mean(axis=1))
        case "learned":
            assert spec.quantile_weights is not None, "the spec refuses 'learned' without weights"
            weights = np.array(spec.quantile_weights)
            return np.asarray(track_quantiles(frames, len(weights)) @ weights)
    ordered = np.sort(frames, axis=1)
    cut = int(TRIM_SHARE * frames.shape[1])
    return np.asarray(ordered[:, cut : frames.shape[1] - cut].mean(axis=1))


def track_quantiles(frames: FloatArray, num_quantiles: int) -> FloatArray:
    """Return equally spaced quantiles of the last axis, lowest to highest: `(N, num_quantiles)`.

    Args:
        frames: `(N, F)` logits.
        num_quantiles: how many.
    """
    levels = np.linspace(0.0, 1.0, num_quantiles)
    return np.asarray(np.quantile(frames, levels, axis=1).T)


def _interval(frames: FloatArray, spec: DetectorSpec) -> tuple[float, float] | None:
    if len(frames) < 2:
        return None
    picks = np.random.default_rng(0).integers(0, len(frames), size=(NUM_RESAMPLES, len(frames)))
    resampled = calibrate(_reduce(frames[picks], spec.aggregation), spec.calibration)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)
