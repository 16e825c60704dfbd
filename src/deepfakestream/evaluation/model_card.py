"""The model card of a trained version as Markdown: what it is for, what it was made of, what was measured.

The sections are those of Mitchell et al. (2019), "Model Cards for Model Reporting", as far as numbers of an
evaluation can fill them.
"""

from __future__ import annotations

from collections.abc import Mapping

from deepfakestream.evaluation.report import METRIC_MEANINGS, NUM_WORST_SLICES, ReportContent, headline
from deepfakestream.evaluation.slices import worst_slices
from deepfakestream.host.text_table import markdown_table

SHOWN = ("auc", "tpr_at_fpr_1pct", "tpr_at_fpr_5pct", "eer", "ece", "brier")
"""Metrics in the card; the report has all."""

_USE = """\
It looks for manipulated faces in pictures and videos: swaps, blending, re-enactment. It does not judge
voices, scenes or wholly generated pictures, and a low score is no proof that a file is genuine. Its rates
hold for files like those measured here and nowhere else. Do not rest a decision about a person on it
alone."""


def render_card(page: ReportContent, *, licences: Mapping[str, str], trained_on: str) -> str:
    """Return the card.

    Args:
        page: what the report shows.
        licences: source of training data to its licence notes.
        trained_on: data, and what models it started from and was taught by were trained on.
    """
    rows = [f"- {source}: {notes}" for source, notes in licences.items()]
    terms = [f"The weights inherit the terms of all that they were trained on: {trained_on}.", "", *rows]
    sections = {
        "Intended use": [_USE],
        "Training data and terms": terms,
        f"Measured on {page.metrics.n} files": _measured(page),
        "What to distrust": [f"- {sentence}" for sentence in page.caveats],
        "Identity": [f"- {name}: {value}" for name, value in page.facts.items()],
    }
    lines = [f"# {page.title}", "", headline(page.metrics)]
    for heading, body in sections.items():
        if body:
            lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def _measured(page: ReportContent) -> list[str]:
    metrics = page.metrics
    lines = [f"{metrics.describe()}. Brackets are 95 % intervals from resampled source groups."]
    shown = [name for name in SHOWN if name in metrics.estimates]
    values = [[METRIC_MEANINGS.get(name, (name, ""))[0], metrics[name]] for name in shown]
    lines += ["", *markdown_table(["metric", "value"], values)]
    points = [[each.name, f"{each.threshold:.3f}", each.fpr, each.tpr] for each in page.points]
    headings = ["operating point", "p_fake from", "FPR", "TPR"]
    lines += ["", *markdown_table(headings, points)]
    worst = worst_slices(tuple(page.slices), limit=NUM_WORST_SLICES)
    if worst:
        slices = [[each.title, f"{each.n_real} + {each.n_fake}", each.auc] for each in worst]
        lines += ["", *markdown_table(["weakest slice", "reals + fakes", "AUC"], slices)]
    return lines
