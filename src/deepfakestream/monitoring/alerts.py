"""Alerts: what happened, for a person who has to act and for a machine that sorts.

An alert is about an event (`once`), or about a condition that begins, goes on and is over. Every kind has a
severity, a first advice and a section of the runbook in docs/MONITORING.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from deepfakestream.frozen import Frozen

RUNBOOK = "docs/MONITORING.md"
Severity = Literal["page", "ticket", "info"]
State = Literal["once", "begins", "continues", "over"]


class AlertKind(NamedTuple):
    """What all alerts of a kind have in common."""

    severity: Severity
    """How soon somebody should look: now, within a day, not at all."""
    advice: str
    """What to do first."""


KINDS: dict[str, AlertKind] = {
    "alerts.test": AlertKind("info", "nothing is to be done: this message shows that alerts arrive"),
    "champion.not_served": AlertKind(
        "page",
        "the model before it or version 0 answers; read the service's log, roll back if it is broken",
    ),
    "drift.confirmed": AlertKind("ticket", "open the report: which columns drifted?"),
    "drift.silent": AlertKind(
        "ticket", "run 'deepfakestream status': do the flows run, and is the schedule active in Prefect?"
    ),
    "flow.failed": AlertKind("ticket", "open the run in Prefect; its log names the cause"),
    "model.held": AlertKind("ticket", "read the reasons; the champion stays until a better model comes"),
    "model.promoted": AlertKind("info", "watch the next predictions; 'deepfakestream rollback' undoes it"),
    "model.rolled_back": AlertKind("info", "find out why the version failed before the next training"),
    "prefect.unreachable": AlertKind("ticket", "no schedule runs; read the log of the Prefect server"),
    "registry.unreachable": AlertKind(
        "ticket", "what is served stays; no promotion is possible; read the log of the MLflow server"
    ),
    "retrain.failed": AlertKind("ticket", "open the run in Prefect, mend the cause, retrain"),
    "retrain.refused": AlertKind("ticket", "read the reasons; wait, change the limits or use --force"),
    "retrain.started": AlertKind("info", "nothing is to be done: the promotion gate decides at the end"),
    "server.ended": AlertKind("page", "it is started again; read its log to see why it ended"),
    "server.hung": AlertKind(
        "page", "it is ended and started again; read its log to see what it was at when it went silent"
    ),
    "validation.stopped": AlertKind("ticket", "open the page of the data rules, mend the data, run it again"),
}
"""Every kind of alert that this program raises."""


class Alert(Frozen):
    """One message about one thing."""

    kind: str
    """A key of `KINDS`."""
    state: State
    summary: str
    """One sentence: what happened."""
    severity: Severity
    advice: str
    runbook: str
    """Section of the documents that says the rest."""
    links: dict[str, str]
    """Pages to open, by what they show."""
    raised_at: datetime
    facts: dict[str, Any]
    """Numbers and names behind the sentence; must be JSON."""

    @property
    def name(self) -> str:
        """Name of its files, without suffix: time and kind."""
        return f"{self.raised_at:%Y%m%dT%H%M%S%f}-{self.kind}"

    @property
    def title(self) -> str:
        """One line for a subject or a heading."""
        prefix = {"continues": "still: ", "over": "over: "}.get(self.state, "")
        return f"[{self.severity}] {prefix}{self.kind}"

    @property
    def text(self) -> str:
        """The message as plain text: what happened, what to do, where to look."""
        lines = [self.summary, "", f"What to do: {self.advice}", f"Runbook: {self.runbook}"]
        return "\n".join([*lines, *(f"{shown}: {address}" for shown, address in self.links.items())])


def make_alert(
    kind: str,
    summary: str,
    *,
    now: datetime,
    state: State = "once",
    links: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Alert:
    """Return an alert with the severity, advice and runbook section of its kind.

    Args:
        kind: a key of `KINDS`.
        summary: one sentence.
        now: moment, in UTC.
        state: of the condition; `over` needs nobody and gets severity `info`.
        links: pages to open, by what they show.
        facts: numbers and names behind the sentence.
    """
    severity, advice = KINDS[kind]
    is_over = state == "over"
    return Alert(
        kind=kind,
        state=state,
        summary=summary,
        severity="info" if is_over else severity,
        advice="nothing is to be done" if is_over else advice,
        runbook=f"{RUNBOOK}#{kind.replace('.', '')}",
        links=dict(links or {}),
        raised_at=now,
        facts=dict(facts or {}),
    )
