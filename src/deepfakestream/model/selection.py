"""How logits become a file's score, chosen on validation: the aggregation, then the calibration.

Candidates are compared by cross-validated log-loss with both classes weighing alike: it rewards right
order and right odds. What is simpler stays unless another is better by `MIN_SIGMAS` standard errors of
the paired difference, so that noise alone changes nothing (the one-standard-error rule of Breiman et al.
1984, stricter because many candidates are tried).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from deepfakestream.arrays import BoolArray, FloatArray
from deepfakestream.model.aggregation import deciding_frames, media_logit, track_quantiles
from deepfakestream.model.calibration import MIN_PER_CLASS, class_weights, fit_platt, fit_temperature
from deepfakestream.model.spec import AggregationSpec, CalibrationSpec

PLAIN = AggregationSpec(frames="mean", tracks="max", min_track_frames=3)
"""What stays where nothing is surely better."""
FRAME_RULES = ("mean", "trimmed_mean", "median", "confident")
TRACK_LENGTHS = (1, 3, 5)
NUM_FOLDS = 5
NUM_QUANTILES = 5
MIN_SIGMAS = 2.0
MIN_FILES_PER_CLASS = 20
"""Files with several faces of a class, below which nothing is chosen."""

_Fit = Callable[[FloatArray, BoolArray], CalibrationSpec]
_Files = list[tuple[FloatArray, NDArray[np.int64]]]


def choose_aggregation(
    logits: FloatArray, media_ids: NDArray[np.str_], track_ids: NDArray[np.int64], is_fake: BoolArray
) -> AggregationSpec:
    """Return how the faces of a file become one logit, chosen on validation; `chosen_by` says why.

    Candidates: mean, trimmed mean, median, most confident half and learned quantile weights over the frames
    of a track, each with tracks of at least 1, 3 or 5 frames deciding. The track with the greatest logit
    always decides: which people of a file are forged is in no label.

    Args:
        logits: `(N,)`, of every face of the validation files.
        media_ids: file of each face.
        track_ids: track of each face within its file.
        is_fake: label of each face's file.
    """
    media, first, inverse = np.unique(media_ids, return_index=True, return_inverse=True)
    faces = [np.flatnonzero(inverse == index) for index in range(len(media))]
    files = [(np.asarray(logits, dtype=np.float64)[each], np.asarray(track_ids)[each]) for each in faces]
    labels = np.asarray(is_fake)[first]
    several = np.array([len(each) > 1 for each in faces], dtype=bool)
    if not several.any():
        return _kept("not chosen: each validation file has one face, so every way gives the same score")
    num_fake, num_real = int((several & labels).sum()), int((several & ~labels).sum())
    if min(num_fake, num_real) < MIN_FILES_PER_CLASS:
        return _kept(
            f"not chosen: only {num_real} real and {num_fake} fake validation files have several faces, "
            f"{MIN_FILES_PER_CLASS} of each are needed"
        )
    return _best_aggregation(files, labels)


def choose_calibration(logits: FloatArray, is_fake: BoolArray) -> CalibrationSpec:
    """Return the calibration of files' logits: a temperature, or Platt scaling where that is surely better.

    With fewer than `MIN_PER_CLASS` files of a class the logits are left as they are.

    Args:
        logits: `(N,)` of files.
        is_fake: `(N,)`, True for fakes.
    """
    num_fake = int(is_fake.sum())
    if min(num_fake, len(is_fake) - num_fake) < MIN_PER_CLASS:
        return fit_platt(logits, is_fake)
    simple, richer = (_losses(is_fake, [logits] * NUM_FOLDS, fit) for fit in (fit_temperature, fit_platt))
    chosen = fit_platt if _is_surely_better(richer, simple, is_fake) else fit_temperature
    return chosen(logits, is_fake)


def fit_quantile_weights(quantiles: FloatArray, is_fake: BoolArray) -> tuple[float, ...]:
    """Return weights of quantiles `(N, Q)`, none negative and adding up to 1, by logistic regression.

    The ridge pulls towards equal weights. More of any frame's logit never lowers the score, and a file with
    one face keeps its logit.

    Args:
        quantiles: `(N, Q)` quantiles of the frames' logits.
        is_fake: `(N,)`, True for fakes.
    """
    sign = np.where(is_fake, 1.0, -1.0)
    weight = class_weights(is_fake)
    num_quantiles = quantiles.shape[1]

    def loss(parameters: FloatArray) -> float:
        scaled = quantiles @ parameters[:-1] + parameters[-1]
        spread = parameters[:-1] - parameters[:-1].mean()
        return float((weight * np.logaddexp(0.0, -sign * scaled)).sum() + 0.01 * (spread**2).sum())

    start = np.append(np.full(num_quantiles, 1.0 / num_quantiles), 0.0)
    bounds = [(0.0, None)] * num_quantiles + [(None, None)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x[:-1]
    total = float(found.sum())
    return tuple(float(value) for value in (found / total if total > 0 else start[:-1]))


def _kept(reason: str) -> AggregationSpec:
    return PLAIN.model_copy(update={"chosen_by": reason})


def _best_aggregation(files: _Files, labels: BoolArray) -> AggregationSpec:
    losses: dict[tuple[str, int], FloatArray] = {}
    folds = _folds(labels)
    for length in TRACK_LENGTHS:
        for rule in FRAME_RULES:
            logits = np.array([media_logit(each, tracks, _fixed(rule, length)) for each, tracks in files])
            losses[rule, length] = _losses(labels, [logits] * NUM_FOLDS, fit_platt)
        table = _quantiles(files, length)
        fitted = [fit_quantile_weights(table[folds != k], labels[folds != k]) for k in range(NUM_FOLDS)]
        losses["learned", length] = _losses(labels, [table @ np.array(each) for each in fitted], fit_platt)
    plain = losses[PLAIN.frames, PLAIN.min_track_frames]
    weight = class_weights(labels)
    best = min(losses, key=lambda key: float(weight @ losses[key]))
    numbers = f"cross-validated log-loss {weight @ losses[best]:.4f}, {PLAIN.frames} {weight @ plain:.4f}"
    if best == (PLAIN.frames, PLAIN.min_track_frames) or not _is_surely_better(losses[best], plain, labels):
        return _kept(f"kept on {len(files)} files: nothing is surely better (best: {best[0]}; {numbers})")
    rule, length = best
    if rule == "learned":
        weights = fit_quantile_weights(_quantiles(files, length), labels)
        spec = PLAIN.model_copy(
            update={"frames": rule, "min_track_frames": length, "quantile_weights": weights}
        )
    else:
        spec = _fixed(rule, length)
    return spec.model_copy(update={"chosen_by": f"chosen on {len(files)} files: {numbers}"})


def _fixed(rule: str, length: int) -> AggregationSpec:
    return AggregationSpec.model_validate({"frames": rule, "tracks": "max", "min_track_frames": length})


def _quantiles(files: _Files, length: int) -> FloatArray:
    """Return quantiles of the track that would decide if the mean ranked the tracks."""
    spec = _fixed("mean", length)
    tracks = (deciding_frames(logits, track_ids, spec) for logits, track_ids in files)
    return np.concatenate([track_quantiles(frames[None], NUM_QUANTILES) for frames in tracks])


def _losses(labels: BoolArray, logits_of: Sequence[FloatArray], fit: _Fit) -> FloatArray:
    """Return the log-loss of each file, scored by what was fitted to the other folds.

    Args:
        labels: of the files.
        logits_of: the logits of all files to use for each fold.
        fit: how to calibrate them.
    """
    folds = _folds(labels)
    losses = np.empty(len(labels))
    sign = np.where(labels, 1.0, -1.0)
    for fold, logits in enumerate(logits_of):
        test = folds == fold
        calibration = fit(logits[~test], labels[~test])
        scaled = calibration.slope * logits[test] + calibration.intercept
        losses[test] = np.logaddexp(0.0, -sign[test] * scaled)
    return losses


def _folds(labels: BoolArray) -> NDArray[np.int64]:
    """Deal the files of each class out to the folds, shuffled with a fixed seed."""
    folds = np.empty(len(labels), dtype=np.int64)
    rng = np.random.default_rng(0)
    for chosen in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        folds[chosen] = rng.permutation(len(chosen)) % NUM_FOLDS
    return folds


def _is_surely_better(ours: FloatArray, theirs: FloatArray, labels: BoolArray) -> bool:
    gain = theirs - ours
    weight = class_weights(labels)
    mean = float(weight @ gain)
    error = float(np.sqrt((weight**2) @ (gain - mean) ** 2))
    return mean > 1e-6 and mean > MIN_SIGMAS * error
