"""The end of the demo: what happened, for a person who reads it once."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.settings import Settings
from infra.demo.console import WIDTH
from infra.demo.facts import Answer, Facts, GateDecision, Retraining

_LABEL_WIDTH = 13


def render(facts: Facts, settings: Settings) -> str:
    """Return the summary as text.

    Args:
        facts: what happened.
        settings: the demo's workspace and addresses.
    """
    total = sum(facts.seconds.values())
    lines = [f"What happened in {total // 60:.0f} min {total % 60:.0f} s", "═" * WIDTH]
    for label, text in _rows(facts):
        lines += _row(label, text)
    lines += ["", *_note(facts), "", *_where_next(settings)]
    return "\n".join(lines)


def _rows(facts: Facts) -> Iterator[tuple[str, str]]:
    yield (
        "sample",
        (
            f"{facts.num_people} people in {facts.num_labelled} labelled files"
            + (
                ", made by an earlier run and kept"
                if facts.sample_was_there
                else ", made from installed packages"
            )
        ),
    )
    yield "ingested", _ingested(facts)
    yield "quarantined", _quarantined(facts)
    checked = facts.checked
    yield "extracted", f"{checked.num_crops} face crops from {checked.num_items} files"
    yield (
        "validated",
        (
            f"{checked.num_rules_kept} of {checked.num_rules} rules kept, "
            f"{'none' if checked.passed else 'at least one'} that stops training is broken"
        ),
    )
    yield "measured", facts.metrics.describe()
    yield "promoted", _first_gate(facts)
    yield "asked", _answers(facts.answers)
    yield "drift before", _drift(facts.drift_before)
    yield "drift after", _drift(facts.drift_after)
    yield "retraining", _retraining(facts.retraining, facts.drift_after)
    if facts.retraining.asked_again:
        yield "asked again", "refused by the governor: " + "; ".join(facts.retraining.asked_again)
    yield "champion", f"version {facts.champion_at_end}"


def _ingested(facts: Facts) -> str:
    found = facts.ingested
    version = f"; data version {found.data_digest[:12]} in DVC" if found.data_digest else ""
    if not found.num_added:
        return f"nothing new: all {found.num_known} files were in the dataset{version}"
    return f"{found.num_added} files{version}"


def _quarantined(facts: Facts) -> str:
    counts = [f"{reason} {count}" for reason, count in sorted(facts.ingested.refused.items())]
    if facts.checked.num_without_face:
        counts.append(f"no_face {facts.checked.num_without_face}")
    return ", ".join(counts) if counts else "nothing"


def _first_gate(facts: Facts) -> str:
    if facts.first_gate is None:
        return f"nothing to decide: the trained model is version {facts.champion}, champion already"
    return _gate(facts.first_gate)


def _gate(gate: GateDecision) -> str:
    change = "is champion" if gate.promoted else "stays challenger"
    return f"{gate.outcome}: version {gate.version} {change}; " + "; ".join(gate.reasons)


def _answers(answers: Sequence[Answer]) -> str:
    counts = Counter(answer.outcome for answer in answers)
    wrong = ", ".join(answer.file for answer in answers if answer.outcome == "wrong")
    return (
        f"about {len(answers)} files of people whom training did not see: {counts['right']} right, "
        f"{counts['undecided']} undecided, {counts['wrong']} wrong" + (f" ({wrong})" if wrong else "")
    )


def _drift(report: DriftReport) -> str:
    names = ", ".join(column.name for column in report.drifted[:5])
    return f"{report.status.replace('_', ' ')}: {report.reason}" + (f" ({names})" if names else "")


def _retraining(retraining: Retraining, drift: DriftReport) -> str:
    if drift.status != "drift":
        return "none: the check found no drift"
    if not retraining.started:
        return "the automation started nothing; see the Prefect UI"
    if retraining.gate is None:
        return "refused by the governor: " + "; ".join(retraining.refusals)
    return f"started by the drift event, allowed by the governor. The gate: {_gate(retraining.gate)}"


def _row(label: str, text: str) -> list[str]:
    indent = " " * (_LABEL_WIDTH + 2)
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{_LABEL_WIDTH}}  ",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _note(facts: Facts) -> list[str]:
    return textwrap.wrap(
        f"This sample shows the loop, not the detector's quality: {facts.metrics.num_groups} test people and "
        "fakes made on the spot say little about a detector, and the interval above says how little.",
        WIDTH,
    )


def _where_next(settings: Settings) -> list[str]:
    base = settings.workspace
    prefect = settings.prefect_api_url.removesuffix("/api")
    pages = [
        ("start all again", f"DEEPFAKESTREAM_WORKSPACE={base} make up"),
        ("  MLflow", f"{settings.mlflow_url}/#/experiments?workflowType=machine_learning  runs, curves"),
        ("  Prefect", f"{prefect}  flow runs, the automation"),
        ("  drift over time", settings.drift_page_url),
        ("  service", f"{settings.service_url}/docs  try your own pictures"),
        ("evaluation", _page(base / "artifacts" / "evaluate" / "report.html")),
        ("drift", _page(base / "artifacts" / "drift" / "report.html")),
        ("data checks", _page(base / "artifacts" / "validate" / "data_docs" / "index.html")),
        ("scan a file", "deepfakestream scan FILE"),
    ]
    return ["Where to look next", "─" * WIDTH, *(f"{name:<19}{text}" for name, text in pages)]


def _page(path: Path) -> str:
    return path.resolve().as_uri() if path.exists() else f"{path} (not written)"
