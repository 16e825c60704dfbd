"""How detectors do on data sets and generators that no training saw: by method, on average and at worst.

A good score on one data set says little about others; this is the measurement that models, views, fusion and
thresholds are chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from deepfakestream.arrays import BoolArray, FloatArray, IntArray
from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import Estimate, resampled_counts, share
from deepfakestream.frozen import Frozen

MIN_CLIPS = 3
"""Methods with fewer forged clips count in their family only."""
NUM_RESAMPLES = 1000
NOT_COVERED = frozenset({"portrait animation"})
"""Families that the detectors are not made for: reported, but left out of mean and worst."""
VERDICTS = ("likely_real", "inconclusive", "likely_fake")


class GroupResult(Frozen):
    """Area under the ROC curve of the forged clips of a method or family against all genuine clips."""

    name: str
    n: int
    auc: Estimate


class CrossSetResult(Frozen):
    """What one detector is worth on the clips of a cross-set."""

    detector: str
    num_real: int
    methods: tuple[GroupResult, ...]
    families: tuple[GroupResult, ...]
    mean: Estimate
    """Mean AUC over the methods that are covered and have enough clips."""
    worst: Estimate
    """Lowest AUC of these methods."""
    pairs: Estimate
    """Share of pairs in which the forged clip scores above its own original."""
    num_pairs: int
    genuine: dict[str, Estimate]
    """Share of the genuine clips by verdict."""
    gain: Estimate | None = None
    """Mean AUC minus that of the first detector, on the same resamples; None for the first."""


def measure_cross_set(
    clips: pd.DataFrame, detectors: Sequence[str], *, seed: int = 0
) -> list[CrossSetResult]:
    """Return what each detector is worth, with intervals from resampling people.

    Args:
        clips: one row a scored clip: `label` (real or fake), `method`, `family`, `person`, `pair` (empty
            where a clip has none), and for each detector `p_fake:NAME` and `verdict:NAME`.
        detectors: names; the others are compared with the first.
        seed: of the resamples.

    Raises:
        ValueError: the clips are all genuine or all forged.
    """
    is_fake = (clips["label"] == "fake").to_numpy()
    if not is_fake.any() or is_fake.all():
        raise ValueError("a cross-set needs genuine and forged clips")
    draws = list(resampled_counts(clips["person"].to_numpy(), num_bootstrap=NUM_RESAMPLES, seed=seed))
    method_masks = _masks(clips, "method", is_fake)
    family_masks = _masks(clips, "family", is_fake)
    covered = ~clips["family"].isin(NOT_COVERED).to_numpy()
    counted = [
        name
        for name, mask in method_masks.items()
        if (mask & is_fake).sum() >= MIN_CLIPS and covered[mask & is_fake].all()
    ]
    results: list[CrossSetResult] = []
    first_means: FloatArray | None = None
    for detector in detectors:
        scores = clips[f"p_fake:{detector}"].to_numpy(dtype=np.float64)
        by_method = {name: _aucs(is_fake, scores, mask, draws) for name, mask in method_masks.items()}
        by_family = {name: _aucs(is_fake, scores, mask, draws) for name, mask in family_masks.items()}
        table = np.stack([by_method[name] for name in counted]) if counted else np.full((1, 1), np.nan)
        means, worsts = table.mean(axis=0), table.min(axis=0)
        gain = None if first_means is None else _estimate(means - first_means)
        first_means = means if first_means is None else first_means
        above, num_pairs = _pairs_above(clips, scores)
        verdicts = clips.loc[~is_fake, f"verdict:{detector}"]
        results.append(
            CrossSetResult(
                detector=detector,
                num_real=int((~is_fake).sum()),
                methods=_groups(by_method, method_masks, is_fake),
                families=_groups(by_family, family_masks, is_fake),
                mean=_estimate(means),
                worst=_estimate(worsts),
                pairs=share(above, num_pairs),
                num_pairs=num_pairs,
                genuine={name: share(int((verdicts == name).sum()), len(verdicts)) for name in VERDICTS},
                gain=gain,
            )
        )
    return results


def describe_cross_set(results: Sequence[CrossSetResult]) -> str:
    """Return one table of all detectors as Markdown."""
    head = ["AUC (95 %)", *(result.detector for result in results)]
    rows = [head, ["---"] * len(head)]
    for kind in ("families", "methods"):
        groups = [getattr(result, kind) for result in results]
        rows += [
            [f"{each[0].name} (n={each[0].n})", *(str(group.auc) for group in each)]
            for each in zip(*groups, strict=True)
        ]
    rows.append(["**mean over methods**", *(str(result.mean) for result in results)])
    rows.append(["**worst method**", *(str(result.worst) for result in results)])
    rows.append(["gain in the mean", *(str(result.gain) if result.gain else "" for result in results)])
    rows.append(
        [f"forged above its original (n={results[0].num_pairs})", *(str(result.pairs) for result in results)]
    )
    for verdict in VERDICTS:
        words = f"genuine clips {verdict} (n={results[0].num_real})"
        rows.append([words, *(str(result.genuine[verdict]) for result in results)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _masks(clips: pd.DataFrame, column: str, is_fake: BoolArray) -> dict[str, BoolArray]:
    """Return for each method or family the forged clips of it and all genuine ones."""
    values = clips[column].to_numpy(dtype=str)
    return {name: ~is_fake | (values == name) for name in sorted(set(values[is_fake]))}


def _aucs(is_fake: BoolArray, scores: FloatArray, mask: BoolArray, draws: Sequence[IntArray]) -> FloatArray:
    """Return the AUC on all clips of the mask, then on each resample (NaN where a class is missing)."""
    ranked = RankedScores(is_fake[mask], scores[mask])
    return np.array([ranked.auc(), *(ranked.auc(counts[mask]) for counts in draws)])


def _estimate(values: FloatArray) -> Estimate:
    return Estimate.from_resamples(float(values[0]), values[1:].tolist())


def _groups(
    aucs: dict[str, FloatArray], masks: dict[str, BoolArray], is_fake: BoolArray
) -> tuple[GroupResult, ...]:
    return tuple(
        GroupResult(name=name, n=int((masks[name] & is_fake).sum()), auc=_estimate(values))
        for name, values in aucs.items()
    )


def _pairs_above(clips: pd.DataFrame, scores: FloatArray) -> tuple[int, int]:
    """Return in how many pairs the forged clip scores above its original, and how many pairs there are."""
    above = total = 0
    scored = clips.assign(score=scores)
    for pair, members in scored[scored["pair"] != ""].groupby("pair"):
        del pair
        real = members.loc[members["label"] == "real", "score"].to_numpy()
        fake = members.loc[members["label"] == "fake", "score"].to_numpy()
        above += int((fake[:, None] > real[None]).sum())
        total += len(fake) * len(real)
    return above, total
