"""The model card of a trained version as Markdown: what it is for, what it was made of, what was measured.

The sections are those of Mitchell et al. (2019), "Model Cards for Model Reporting", as far as numbers of an
evaluation can fill them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.evaluation.operating import MeasuredPoint
from deepfakestream.evaluation.report import METRIC_MEANINGS, headline
from deepfakestream.evaluation.slices import Slice, worst_slices

NUM_WORST_SLICES = 5
SHOWN = ("auc", "tpr_at_fpr_1pct", "tpr_at_fpr_5pct", "eer", "ece", "brier")
"""Metrics in the card; the report has all."""

_USE = """\
It looks for manipulated faces in pictures and videos: swaps, blending, re-enactment. It does not judge
voices, scenes or wholly generated pictures, and a low score is no proof that a file is genuine. Its rates
hold for files like those measured here and nowhere else. Do not rest a decision about a person on it
alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContent:
    """What the card says."""

    title: str
    facts: Mapping[str, str]
    """Model, data and run in words, in order."""
    licences: Mapping[str, str]
    """Source of training data to its licence notes."""
    trained_on: str
    """Data, and what models it started from and was taught by were trained on."""
    metrics: Metrics
    points: Sequence[MeasuredPoint]
    slices: Sequence[Slice]
    caveats: Sequence[str]


def render_card(content: CardContent) -> str:
    """Return the card."""
    sections = {
        "Intended use": [_USE],
        "Training data and terms": _terms(content),
        f"Measured on {content.metrics.n} files": _measured(content),
        "What to distrust": [f"- {sentence}" for sentence in content.caveats],
        "Identity": [f"- {name}: {value}" for name, value in content.facts.items()],
    }
    lines = [f"# {content.title}", "", headline(content.metrics)]
    for heading, body in sections.items():
        if body:
            lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _terms(content: CardContent) -> list[str]:
    rows = [f"- {source}: {notes}" for source, notes in content.licences.items()]
    inherited = f"The weights inherit the terms of all that they were trained on: {content.trained_on}."
    return [inherited, "", *rows]


def _measured(content: CardContent) -> list[str]:
    metrics = content.metrics
    lines = [f"{metrics.describe()}. Brackets are 95 % intervals from resampled source groups."]
    shown = [name for name in SHOWN if name in metrics.estimates]
    lines += ["", "| metric | value |", "|---|---|"]
    lines += [f"| {METRIC_MEANINGS.get(name, (name, ''))[0]} | {metrics[name]} |" for name in shown]
    lines += ["", "| operating point | p_fake from | reals called fake | fakes caught |", "|---|---|---|---|"]
    lines += [f"| {each.name} | {each.threshold:.3f} | {each.fpr} | {each.tpr} |" for each in content.points]
    worst = worst_slices(tuple(content.slices), limit=NUM_WORST_SLICES)
    if worst:
        lines += ["", "| weakest slice | reals + fakes | AUC |", "|---|---|---|"]
        lines += [f"| {each.title} | {each.n_real} + {each.n_fake} | {each.auc} |" for each in worst]
    return lines
