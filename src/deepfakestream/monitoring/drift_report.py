"""What a drift check found, as a value that is printed, stored, sent and read by the governor."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Literal, get_args

from deepfakestream.frozen import Frozen
from deepfakestream.host.text_table import markdown_table
from deepfakestream.monitoring.embedding_drift import EmbeddingDrift
from deepfakestream.monitoring.performance import Performance

Status = Literal["ok", "drift", "too_few", "no_champion"]
STATUSES: tuple[Status, ...] = get_args(Status)


SIGN = "drift"
"""Name of the sign of life that a completed check leaves."""


class ColumnDrift(Frozen):
    """One column of the window against the same column of the reference."""

    name: str
    kind: str
    """`numerical` or `categorical`."""
    drifted: bool
    value: float | None = None
    """PSI; null where the column could not be compared, see `note`."""
    threshold: float | None = None
    """PSI from which the column counts as drifted, in this check, at these sample sizes."""
    note: str = ""
    """Why there is no value, or what else was noticed."""


class DriftReport(Frozen):
    """One check. `status` is `too_few` where the samples are too small, `no_champion` without a reference."""

    status: Status
    model_version: str
    n_current: int
    n_reference: int
    share: float
    """Drifted columns over compared columns; 0 where nothing was compared."""
    columns: tuple[ColumnDrift, ...] = ()
    embedding: EmbeddingDrift = EmbeddingDrift()
    """What the network saw of the files, as a whole; no column, and not part of `share`."""
    performance: Performance = Performance()
    """How good the model is on this traffic, as far as scores and labels tell. It decides nothing."""
    window_id: str = ""
    """Id of the newest prediction of the window; empty where there was none."""
    reason: str
    """One sentence for a person: why this status."""
    html: Path | None = None
    json_path: Path | None = None

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that drifted, strongest first; columns whose values went missing come first."""
        found = [column for column in self.columns if column.drifted]
        return tuple(sorted(found, key=_strength, reverse=True))

    def describe(self) -> str:
        """Return a few readable lines."""
        head = (
            f"drift: {self.status} (model version {self.model_version}, {self.n_current} predictions "
            f"against {self.n_reference} of the reference): {self.reason}"
        )
        lines = [head]
        for column in self.drifted:
            psi = f"PSI {_number(column.value)}, threshold {_number(column.threshold)}"
            lines.append(f"  {column.name}: {column.note if column.value is None else psi}")
        if said := self.embedding.sentence():
            lines.append(f"  embeddings: {said}")
        lines += [f"  {line}" for line in self.performance.lines()]
        if self.html:
            lines.append(f"  report: {self.html}")
        if self.status == "drift":
            lines.append(
                "next: read the report; 'deepfakestream retrain' trains again where the rules allow it"
            )
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """Return the findings as a heading, a sentence and a table of the judged columns."""
        rows = [
            [
                column.name,
                _number(column.value),
                _number(column.threshold),
                f"{'**drifted**' if column.drifted else ''} {column.note}",
            ]
            for column in self.columns
        ]
        table = markdown_table(["column", "PSI", "threshold", "finding"], rows) if rows else []
        more = [text for paragraph in self._paragraphs() for text in ("", paragraph)]
        return "\n".join([f"## Drift: {self.status}", "", self._sentence(), "", *table, *more])

    def as_html(self) -> str:
        """Return the same findings as an HTML section with its own style."""
        rows = "".join(
            f"<tr><td>{escape(column.name)}<td>{_number(column.value)}<td>{_number(column.threshold)}"
            f"<td>{'<b>drifted</b> ' if column.drifted else ''}{escape(column.note)}"
            for column in self.columns
        )
        return (
            '<section style="font:16px/1.5 sans-serif;max-width:60rem;margin:1.5rem auto;padding:0 1rem">'
            "<style>section table{border-collapse:collapse}section td,section th{padding:.2rem .8rem;"
            "border-bottom:1px solid #ddd;text-align:left}</style>"
            f"<h1>Drift: {escape(self.status)}</h1>"
            f"<p>{escape(self._sentence())}</p>"
            f"<table><tr><th>column<th>PSI<th>threshold<th>finding{rows}</table>"
            f"{''.join(f'<p>{escape(paragraph)}</p>' for paragraph in self._paragraphs())}"
            "<p>Below: the distributions of the columns that could be compared.</p></section>"
        )

    def _sentence(self) -> str:
        sizes = f"{self.n_current} predictions against {self.n_reference} of the reference"
        return f"Model version {self.model_version}, {sizes}: {self.reason}."

    def _paragraphs(self) -> list[str]:
        said = self.embedding.sentence()
        quality = [f"{line[0].upper()}{line[1:]}" for line in self.performance.lines()]
        return [*([f"Embeddings: {said}."] if said else []), *quality]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _strength(column: ColumnDrift) -> float:
    if column.value is None or not column.threshold:
        return float("inf")
    return column.value / column.threshold
