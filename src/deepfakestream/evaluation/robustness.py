"""How scores of faces hold when pictures are compressed, shrunk, blurred: the robustness card.

Paired: the same faces before and after, the same resamples of source groups for both, so that what makes
faces hard cancels out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfakestream.evaluation.curves import RankedScores
from deepfakestream.evaluation.estimate import Estimate, resampled_counts
from deepfakestream.evaluation.perturbations import Perturbation, perturbations
from deepfakestream.evaluation.scores import BATCH_SIZE
from deepfakestream.frozen import Frozen
from deepfakestream.host.progress import progress_bar
from deepfakestream.media.types import RGBImage
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.scorer import CropScorer

MIN_PER_CLASS = 5
"""Faces of a class, below which there is no AUC to compare."""


class Condition(Frozen):
    """The faces under one perturbation, against the same faces as they are."""

    kind: str
    level: str
    auc: float | None
    auc_change: Estimate
    """AUC under the perturbation minus AUC before."""
    real_p_fake_change: float | None
    """Mean change of the reals' p_fake: above 0, genuine pictures look more forged."""
    fake_p_fake_change: float | None
    fpr: float | None
    """Share of the reals at or above the threshold under the perturbation."""
    tpr: float | None


class RobustnessCard(Frozen):
    """What perturbations do to the scores of a sample of faces."""

    status: Literal["ok", "off", "insufficient"]
    """`off`: no faces were asked for; `insufficient`: fewer than `MIN_PER_CLASS` of a class."""
    n_real: int
    n_fake: int
    auc: float | None
    """Of the sampled faces as they are."""
    fpr: float | None
    tpr: float | None
    threshold: float
    conditions: tuple[Condition, ...]

    def ladders(self) -> list[tuple[str, list[Condition]]]:
        """Return the conditions of each kind of perturbation, the mildest first."""
        return [(kind, list(ladder)) for kind, ladder in groupby(self.conditions, key=lambda each: each.kind)]


def sample_faces(faces: pd.DataFrame, *, num_faces: int, seed: int) -> pd.DataFrame:
    """Return at most `num_faces` rows, half of each class where there are enough, one face a file.

    The sample depends on the ids and the seed alone, not on the order of the rows.

    Args:
        faces: rows of the crop table.
        num_faces: how many rows at most.
        seed: the same seed draws the same.
    """
    rng = np.random.default_rng(seed)
    ordered = faces.sort_values("crop_id")
    one_a_file = ordered.iloc[rng.permutation(len(ordered))].drop_duplicates("media_id")
    parts = [
        one_a_file[one_a_file["label"] == label].head(count)
        for label, count in (("real", num_faces - num_faces // 2), ("fake", num_faces // 2))
    ]
    return pd.concat(parts).sort_values(["shard", "row"]).reset_index(drop=True)


def measure_robustness(
    faces: pd.DataFrame,
    images: Sequence[RGBImage],
    scorer: CropScorer,
    *,
    threshold: float,
    num_bootstrap: int,
    seed: int,
) -> RobustnessCard:
    """Return the card of faces: every perturbation on each, scored one by one without aggregation.

    Args:
        faces: one row a face, with `label` and `group_id`.
        images: their crops, RGB, in the same order.
        scorer: the model.
        threshold: p_fake from which a face counts as fake.
        num_bootstrap: resamples of source groups behind each interval.
        seed: of noise and resamples.
    """
    is_fake = (faces["label"] == "fake").to_numpy()
    counts = {"n_real": int((~is_fake).sum()), "n_fake": int(is_fake.sum())}
    if min(counts.values()) < MIN_PER_CLASS:
        return empty_card("insufficient", threshold=threshold, **counts)
    before = _score(scorer, list(images))
    groups = faces["group_id"].to_numpy()
    draws = list(resampled_counts(groups, num_bootstrap=num_bootstrap, seed=seed))
    conditions = []
    for each in progress_bar(perturbations(), description="robustness", unit="condition"):
        changed = [
            each.change(image, np.random.default_rng([seed, index])) for index, image in enumerate(images)
        ]
        after = _score(scorer, changed)
        conditions.append(_compare(each, is_fake, before, after, draws, threshold))
    return RobustnessCard(
        status="ok",
        auc=RankedScores(is_fake, before).auc(),
        fpr=float((before[~is_fake] >= threshold).mean()),
        tpr=float((before[is_fake] >= threshold).mean()),
        threshold=threshold,
        conditions=tuple(conditions),
        **counts,
    )


def empty_card(
    status: Literal["off", "insufficient"], *, threshold: float, n_real: int = 0, n_fake: int = 0
) -> RobustnessCard:
    """Return the card of a measurement that did not take place.

    Args:
        status: why nothing was measured.
        threshold: `p_fake` from which a file is called fake.
        n_real: genuine faces that were there.
        n_fake: fake faces that were there.
    """
    return RobustnessCard(
        status=status,
        n_real=n_real,
        n_fake=n_fake,
        auc=None,
        fpr=None,
        tpr=None,
        threshold=threshold,
        conditions=(),
    )


def _score(scorer: CropScorer, images: list[RGBImage]) -> NDArray[np.float64]:
    parts = [
        scorer.logits(np.stack(images[start : start + BATCH_SIZE]))
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return calibrate(np.concatenate(parts), scorer.spec.calibration)


def _compare(
    each: Perturbation,
    is_fake: NDArray[np.bool_],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    draws: list[NDArray[np.int64]],
    threshold: float,
) -> Condition:
    then, now = RankedScores(is_fake, before), RankedScores(is_fake, after)
    auc_changes = [now.auc(counts) - then.auc(counts) for counts in draws]
    change = after - before
    return Condition(
        kind=each.kind,
        level=each.level,
        auc=now.auc(),
        auc_change=Estimate.from_resamples(now.auc() - then.auc(), auc_changes),
        real_p_fake_change=float(change[~is_fake].mean()),
        fake_p_fake_change=float(change[is_fake].mean()),
        fpr=float((after[~is_fake] >= threshold).mean()),
        tpr=float((after[is_fake] >= threshold).mean()),
    )
