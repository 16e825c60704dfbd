"""The evaluation as one HTML file that a person reads in a minute; pictures inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import pandas as pd

from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.evaluation.operating import MeasuredPoint
from deepfakestream.evaluation.slices import Slice

NUM_MISTAKES = 10
TEMPLATE = "report.html.j2"

METRIC_MEANINGS = {
    "auc": ("AUC", "a random fake scores above a random real; 0.5 is chance"),
    "ap": ("Average precision", "precision averaged over recall; chance is the share of fakes"),
    "eer": ("Equal error rate", "where misses and false alarms are equally frequent"),
    "tpr_at_fpr_1pct": ("Fakes caught at 1 % FPR", "when one real in a hundred is called fake"),
    "tpr_at_fpr_5pct": ("Fakes caught at 5 % FPR", "when one real in twenty is called fake"),
    "f1": ("F1", "at the threshold"),
    "accuracy": ("Accuracy", "at the threshold"),
    "tpr": ("Fakes caught", "at the threshold"),
    "fpr": ("Reals called fake", "at the threshold"),
    "log_loss": ("Log-loss", "lower is better; 0.693 is a coin"),
    "brier": ("Brier score", "mean squared error of p_fake; 0.25 is a coin"),
    "ece": ("Calibration error", "mean gap between p_fake and the share of fakes (ECE)"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """What the page shows."""

    title: str
    facts: Mapping[str, str]
    """Model, data and run in words, in order."""
    metrics: Metrics
    points: Sequence[MeasuredPoint]
    slices: Sequence[Slice]
    mistakes: pd.DataFrame
    plots: Mapping[str, bytes]
    """PNG bytes by name, in order."""


def worst_mistakes(scores: pd.DataFrame, *, threshold: float, limit: int = NUM_MISTAKES) -> pd.DataFrame:
    """Return the files on the wrong side of the threshold and their `error`, the worst first."""
    scored = scores[scores["p_fake"].notna()]
    is_fake = scored["label"] == "fake"
    wrong = (scored["p_fake"] >= threshold) != is_fake
    error = (scored["p_fake"] - is_fake.astype(float)).abs()
    ranked = scored.assign(error=error)[wrong].sort_values(["error", "media_id"], ascending=[False, True])
    return ranked.head(limit)


def render(content: ReportContent) -> str:
    """Return the page as self-contained HTML."""
    from jinja2 import Environment, StrictUndefined

    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(text)
    return template.render(
        content=content,
        metrics=content.metrics,
        rows=[
            (*METRIC_MEANINGS.get(name, (name, "")), value)
            for name, value in content.metrics.estimates.items()
        ],
        mistakes=content.mistakes.to_dict("records"),
        images={name: base64.b64encode(png).decode() for name, png in content.plots.items()},
    )
