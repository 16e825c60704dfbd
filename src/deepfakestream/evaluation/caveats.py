"""What to distrust in an evaluation: sentences that follow from its own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from deepfakestream.evaluation.metrics import FPR_LEVELS, MeasuredPoint, Metrics
from deepfakestream.evaluation.robustness import RobustnessCard
from deepfakestream.evaluation.slices import Gap, Slice
from deepfakestream.model.spec import OperatingPoint

FEW_GROUPS = 30
WIDE_INTERVAL = 0.1
BAD_ECE = 0.05
"""A calibration error that matters, where it is also above that of chance at this number of files."""
MUCH_WITHOUT_SCORE = 0.05
LARGE_DROP = 0.05
LEAST_FPR = min(FPR_LEVELS)
LARGE_GAP = 0.05


def caveats(
    *,
    split: str,
    metrics: Metrics,
    points: Sequence[MeasuredPoint],
    promised: Mapping[str, OperatingPoint],
    slices: Sequence[Slice],
    gaps: Sequence[Gap],
    card: RobustnessCard,
) -> tuple[str, ...]:
    """Return what a reader must know before quoting the numbers, the gravest first; never empty.

    Args:
        split: what was measured on.
        metrics: of the files.
        points: the operating points as measured here.
        promised: the same points as the spec states them.
        slices: the parts of the split.
        gaps: between slices.
        card: robustness.
    """
    sentences = [*_about_the_data(split, metrics), *_about_thresholds(metrics, points, promised)]
    sentences += [*_about_gaps(gaps), *_about_robustness(card)]
    unmeasured = sum(each.status != "ok" for each in slices)
    if unmeasured:
        sentences.append(f"{unmeasured} of {len(slices)} slices have too few files to be ranked.")
    sentences.append("Other datasets, generators, cameras and codecs than these were not measured.")
    return tuple(sentences)


def _about_the_data(split: str, metrics: Metrics) -> Iterator[str]:
    if split != "test":
        yield (
            f"These files are the split '{split}', which weights, calibration and thresholds were chosen "
            "on: these numbers are optimistic. Quote those of 'test' only."
        )
    if metrics.status != "ok":
        yield "There are no scored files of both classes: nothing can be ranked."
        return
    if metrics.num_groups < FEW_GROUPS:
        yield f"The files come from only {metrics.num_groups} source groups: a few more could change it all."
    if metrics.n_real * LEAST_FPR < 1.0:
        yield (
            f"Among {metrics.n_real} real files a false positive rate of {LEAST_FPR:.0%} is less than one "
            "file: the true positive rate at it is interpolated between two points of the curve."
        )
    auc = metrics["auc"]
    if auc.low is not None and auc.high is not None and auc.high - auc.low > WIDE_INTERVAL:
        yield f"The AUC is known only to within {auc.low:.2f} and {auc.high:.2f}; ingest more files."
    if (metrics.share_not_applicable or 0.0) > MUCH_WITHOUT_SCORE:
        yield f"{metrics.share_not_applicable:.1%} of the files have no score and count in no other number."


def _about_thresholds(
    metrics: Metrics, points: Sequence[MeasuredPoint], promised: Mapping[str, OperatingPoint]
) -> Iterator[str]:
    ece = metrics["ece"].value
    if ece is not None and ece > max(BAD_ECE, metrics.ece_of_chance or 0.0):
        yield f"p_fake is off by {ece:.2f} on average (ECE): do not read it as a probability here."
    for point in points:
        rate = promised[point.name].fpr
        low, high = point.fpr.low, point.fpr.high
        if rate is None:
            yield f"The threshold '{point.name}' is conventional: no validation data measured it."
        elif low is not None and high is not None and not low - 0.005 <= rate <= high + 0.005:
            yield (
                f"The threshold '{point.name}' promised a false positive rate of {rate:.1%}; here it is "
                f"{point.fpr.value:.1%} ({low:.1%}–{high:.1%})."
            )


def _about_gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    """Name the widest gap of each measure, where chance alone does not explain it easily."""
    for measure, text in (("auc", "AUC"), ("fpr", "FPR")):
        sure = [each for each in gaps if each.measure == measure and (each.gap.low or 0.0) > 0.0]
        widest = max(sure, key=lambda each: each.gap.value or 0.0, default=None)
        if widest is not None and (widest.gap.value or 0.0) > LARGE_GAP:
            yield (
                f"Errors fall unevenly by {widest.title}: {text} {widest.value_worst:.3f} on "
                f"'{widest.worst}' (n {widest.n_worst}) against {widest.value_best:.3f} on '{widest.best}' "
                f"(n {widest.n_best})."
            )


def _about_robustness(card: RobustnessCard) -> Iterator[str]:
    if card.status != "ok":
        yield "Robustness was not measured" + (
            " (evaluate.robustness_faces is 0)." if card.status == "off" else ": too few faces of a class."
        )
        return
    worst = min(card.conditions, key=lambda each: each.auc_change.value or 0.0)
    if (worst.auc_change.value or 0.0) < -LARGE_DROP:
        loss = -(worst.auc_change.value or 0.0)
        yield f"The perturbation '{worst.kind} {worst.level}' costs {loss:.3f} of the AUC of single faces."
    hiding = min(card.conditions, key=lambda each: each.tpr or 0.0)
    if (hiding.tpr or 0.0) < (card.tpr or 0.0) - LARGE_DROP:
        yield (f"Fakes pass under {hiding.kind} {hiding.level}: TPR {hiding.tpr:.0%}, {card.tpr:.0%} before.")
    alarming = max(card.conditions, key=lambda each: each.fpr or 0.0)
    if (alarming.fpr or 0.0) > (card.fpr or 0.0) + LARGE_DROP:
        yield (
            f"Genuine faces look forged under {alarming.kind} {alarming.level}: {alarming.fpr:.0%} are "
            f"called fake, {card.fpr:.0%} before."
        )
