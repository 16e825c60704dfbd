"""The evaluation as one HTML file that a person reads in a minute; pictures inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import pandas as pd

from deepfakestream.evaluation.metrics import MeasuredPoint, Metrics
from deepfakestream.evaluation.robustness import RobustnessCard
from deepfakestream.evaluation.slices import Gap, Slice, worst_slices

NUM_MISTAKES = 10
NUM_WORST_SLICES = 5
NUM_GAPS = 8
TEMPLATE = "report.html.j2"

METRIC_MEANINGS = {
    "auc": ("AUC", "a random fake scores above a random real; 0.5 is chance"),
    "ap": ("Average precision", "precision averaged over recall; chance is the share of fakes"),
    "eer": ("Equal error rate", "where misses and false alarms are equally frequent"),
    "tpr_at_fpr_1pct": ("TPR at 1 % FPR", "recall of fakes when one real in a hundred is called fake"),
    "tpr_at_fpr_5pct": ("TPR at 5 % FPR", "recall of fakes when one real in twenty is called fake"),
    "f1": ("F1", "at the threshold"),
    "accuracy": ("Accuracy", "at the threshold"),
    "tpr": ("True positive rate (TPR)", "share of fakes called fake at the threshold"),
    "fpr": ("False positive rate (FPR)", "share of reals called fake at the threshold"),
    "log_loss": ("Log-loss", "lower is better; 0.693 is a coin"),
    "brier": ("Brier score", "mean squared error of p_fake; 0.25 is a coin"),
    "ece": ("Calibration error", "mean gap between p_fake and the share of fakes (ECE), after calibration"),
}

PICTURES = {
    "histogram": "scores by class, with the threshold",
    "roc": "ROC; dotted: 1 % and 5 % false positive rate",
    "det": "errors on a normal scale: lower left is better",
    "reliability": "on the diagonal p_fake is a probability",
    "slices": "AUC by slice with 95 % intervals",
    "robustness": "single faces under perturbations, mild to harsh",
    "training": "the course of the training",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """What the page shows."""

    title: str
    facts: Mapping[str, str]
    """Model, data and run in words, in order."""
    caveats: Sequence[str]
    """What to distrust, the gravest first."""
    metrics: Metrics
    face_metrics: Metrics
    points: Sequence[MeasuredPoint]
    slices: Sequence[Slice]
    gaps: Sequence[Gap]
    robustness: RobustnessCard
    mistakes: pd.DataFrame
    plots: Mapping[str, bytes]
    """PNG bytes by name, as in `PICTURES`."""


def worst_mistakes(scores: pd.DataFrame, *, threshold: float, limit: int = NUM_MISTAKES) -> pd.DataFrame:
    """Return the files on the wrong side of the threshold and their `error`, the worst first.

    Args:
        scores: a row a file, columns as for `measure`.
        threshold: `p_fake` from which a file is called fake.
        limit: how many at most.
    """
    scored = scores[scores["p_fake"].notna()]
    is_fake = scored["label"] == "fake"
    wrong = (scored["p_fake"] >= threshold) != is_fake
    error = (scored["p_fake"] - is_fake.astype(float)).abs()
    ranked = scored.assign(error=error)[wrong].sort_values(["error", "media_id"], ascending=[False, True])
    return ranked.head(limit)


def headline(metrics: Metrics) -> str:
    """Return what the model does at its threshold, in whole numbers of 100 files."""
    alarms, caught = metrics["fpr"].value, metrics["tpr"].value
    if alarms is None or caught is None:
        return "Without real and fake files nothing can be said about it."
    return (
        f"At its threshold {metrics.threshold:.2f} it finds {_of_100(caught)} fakes and calls "
        f"{_of_100(alarms)} genuine files fake."
    )


def _of_100(share: float) -> str:
    """Return a share as whole numbers of 100; "0" and "100" only where it is exactly so."""
    if 0.0 < share <= 0.005:
        return "fewer than 1 of 100"
    if 0.995 <= share < 1.0:
        return "more than 99 of 100"
    return f"{round(100 * share)} of 100"


def render(content: ReportContent) -> str:
    """Return the page as self-contained HTML."""
    from jinja2 import Environment, StrictUndefined

    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["share"] = lambda value: "–" if value is None else f"{100 * value:.1f} %"
    return environment.from_string(text).render(
        content=content,
        metrics=content.metrics,
        faces=content.face_metrics,
        headline=headline(content.metrics),
        rows=[(*METRIC_MEANINGS.get(name, (name, "")), name) for name in content.metrics.estimates],
        worst=worst_slices(tuple(content.slices), limit=NUM_WORST_SLICES),
        gaps=content.gaps[:NUM_GAPS],
        ladders=content.robustness.ladders(),
        mistakes=content.mistakes.to_dict("records"),
        images={name: base64.b64encode(png).decode() for name, png in content.plots.items()},
        captions=PICTURES,
    )
