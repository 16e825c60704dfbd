"""Drift over time: every check is a run in an Evidently workspace, which has a dashboard.

Evidently's own drift metrics keep 0.9 MB a run, which its pages hold in memory, and know one share of drifted
columns only: theirs. Ours take what the check has found, and draw the bins that its PSI was computed from.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from deepfakestream.monitoring.drift_psi import bin_counts
from deepfakestream.monitoring.drift_report import ColumnDrift, DriftReport

with warnings.catch_warnings():  # importing it (4 s) uses deprecated parts of numpy and litestar
    warnings.simplefilter("ignore", DeprecationWarning)
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.metric_types import (
        CountCalculation,
        CountMetric,
        CountValue,
        SingleValue,
        SingleValueCalculation,
        SingleValueMetric,
    )
    from evidently.core.report import Context
    from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter, plotly_data
    from evidently.sdk.models import PanelMetric, ProjectModel
    from evidently.sdk.panels import line_plot_panel
    from evidently.ui.service.app import create_app, get_config
    from evidently.ui.workspace import Workspace

MAX_RUNS = 336
"""Two weeks of hourly checks; the oldest are removed. Evidently reads all of them to add one: 10 ms each."""
TAB = "Drift"
_FINDINGS = "findings"
_EMBEDDING = "embedding"
_FAKE = "likely_fake"
_logger = logging.getLogger(__name__)


class DriftedColumns(CountMetric):  # type: ignore[misc]
    """Number of drifted columns, and their share of those that were judged, as the check found them."""


class _DriftedColumns(CountCalculation[DriftedColumns]):  # type: ignore[misc]
    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> CountValue:
        findings = context.additional_data[_FINDINGS].as_dataframe()
        count = int(findings["drifted"].sum())
        result = self.result(count, count / len(findings))
        # Full width, so that the two counters after it share a line.
        return _with_counter(result, self.display_name(), f"{count} of {len(findings)}", WidgetSize.FULL)

    def display_name(self) -> str:
        return "Drifted columns"


class FakeVerdicts(CountMetric):  # type: ignore[misc]
    """Number of predictions of the window that were called fake, and their share."""


class _FakeVerdicts(CountCalculation[FakeVerdicts]):  # type: ignore[misc]
    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> CountValue:
        verdicts = current_data.as_dataframe()["verdict"]
        count = int((verdicts == _FAKE).sum())
        result = self.result(count, count / len(verdicts))
        return _with_counter(result, self.display_name(), f"{count} of {len(verdicts)}")

    def display_name(self) -> str:
        return "Verdicts likely_fake"


class MeanScore(SingleValueMetric):  # type: ignore[misc]
    """Mean of `p_fake` over the window."""


class _MeanScore(SingleValueCalculation[MeanScore]):  # type: ignore[misc]
    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> SingleValue:
        value = float(current_data.as_dataframe()["p_fake"].mean())
        return _with_counter(self.result(value), self.display_name(), f"{value:.3f}")

    def display_name(self) -> str:
        return "Mean p_fake"


class ColumnPsi(SingleValueMetric):  # type: ignore[misc]
    """PSI of one column."""

    column: str


class _ColumnPsi(SingleValueCalculation[ColumnPsi]):  # type: ignore[misc]
    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> SingleValue:
        assert reference_data is not None
        column = self.metric.column
        findings = context.additional_data[_FINDINGS].as_dataframe().set_index("name")
        finding = findings.loc[column]
        drifted = "drifted" if finding["drifted"] else "not drifted"
        title = f"{column}: PSI {finding['value']:.2f}, threshold {finding['threshold']:.2f}, {drifted}"
        samples = [data.as_dataframe()[column].dropna() for data in (current_data, reference_data)]
        result = self.result(float(finding["value"]))
        result.widget = [_distribution(title, *samples, kind=finding["kind"])]
        return result

    def display_name(self) -> str:
        return f"PSI of {self.metric.column}"


class EmbeddingDistance(SingleValueMetric):  # type: ignore[misc]
    """Distance of the embeddings from the reference over its threshold."""


class _EmbeddingDistance(SingleValueCalculation[EmbeddingDistance]):  # type: ignore[misc]
    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> SingleValue:
        found = context.additional_data[_EMBEDDING].as_dataframe().iloc[0]
        text = f"{found['distance']:.2f}, threshold {found['threshold']:.2f}"
        return _with_counter(self.result(found["distance"] / found["threshold"]), self.display_name(), text)

    def display_name(self) -> str:
        return "Embeddings: distance from the reference"


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """The checks of one registered model, as a project in an Evidently workspace."""

    directory: Path
    """The workspace; made where it is missing."""
    project_id: UUID
    name: str
    """Of the project: the registered model."""

    def record(
        self,
        report: DriftReport,
        current: pd.DataFrame,
        reference: pd.DataFrame,
        *,
        checked_at: datetime,
        max_runs: int = MAX_RUNS,
    ) -> None:
        """Add a check and remove the oldest runs; nothing is added where the check judged no column.

        Args:
            report: what the check found.
            current: the window, a row a prediction: `verdict`, `p_fake` and the feature columns.
            reference: the same columns but `verdict`, a row a file.
            checked_at: moment of the check.
            max_runs: how many runs are kept.
        """
        judged = [column for column in report.columns if column.value is not None or column.drifted]
        if not judged:
            return
        workspace = self._open()
        measured = [column for column in judged if column.value is not None]
        metrics = [DriftedColumns(tests=[]), FakeVerdicts(tests=[])]
        names = [column.name for column in measured]
        if current["p_fake"].notna().any():
            metrics.append(MeanScore(tests=[]))
            names = list(dict.fromkeys(["p_fake", *names]))
        found = report.embedding
        table = pd.DataFrame([column.model_dump() for column in judged])
        # Evidently warns about a column without numbers; what was not measured is not read.
        numbers = table.astype({"value": "float64", "threshold": "float64"})
        additional = {_FINDINGS: numbers.fillna({"value": 0.0, "threshold": 0.0})}
        if found.distance is not None and found.threshold:
            metrics.append(EmbeddingDistance(tests=[]))
            additional[_EMBEDDING] = pd.DataFrame([found.model_dump(include={"distance", "threshold"})])
        metrics += [ColumnPsi(column=column.name, tests=[]) for column in measured]
        window = current[[*names, "verdict"]].astype({"verdict": str})
        snapshot = Report(metrics).run(
            _dataset(window, measured),
            _dataset(reference[names], measured) if names else None,
            additional_data=additional,
            timestamp=checked_at,
            tags=[report.status],
            metadata={"model version": report.model_version, "predictions": str(report.n_current)},
            name=f"{report.status}: {report.reason}",
        )
        workspace.add_run(self.project_id, snapshot)
        runs = sorted(workspace.list_runs(self.project_id), key=str)  # ids begin with their time
        for old in runs[: max(0, len(runs) - max_runs)]:
            workspace.delete_run(self.project_id, old)

    def pages(self) -> Any:
        """Return Evidently's pages as an ASGI application that changes nothing.

        Runs that a kill has left half-written are removed: the pages do not start while one cannot be read.
        """
        for path in self.directory.glob("*/snapshots/*.json"):
            try:
                json.loads(path.read_bytes())
            except ValueError:
                _logger.warning("%s: damaged run of a drift check, removed", path)
                path.unlink()
        self._open()
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # it prints how it is built
            warnings.simplefilter("ignore", DeprecationWarning)
            # Nobody knows the secret, so that nobody can delete or edit through the pages.
            return create_app(get_config(workspace=str(self.directory), secret=token_hex()))

    def _open(self) -> Workspace:
        self.directory.mkdir(parents=True, exist_ok=True)
        workspace = Workspace(str(self.directory))
        project = workspace.get_project(self.project_id) or workspace.add_project(
            ProjectModel(id=self.project_id, name=self.name, description="every drift check of the champion")
        )
        titles = {panel.title for panel in project.dashboard.model().panels}
        for panel in _panels():
            if panel.title not in titles:
                project.dashboard.add_panel(panel, tab=TAB)
        return workspace


def _panels() -> list[Any]:
    def line(title: str, text: str, metric: str, size: str, legend: str, **labels: str) -> Any:
        values = [PanelMetric(legend=legend, metric=metric, metric_labels=labels)]
        return line_plot_panel(title=title, description=text, values=values, size=size)

    judged = "of the columns that could be compared"
    return [
        line("Share of drifted columns", judged, "DriftedColumns", "half", "share", value_type="share"),
        line("Number of drifted columns", judged, "DriftedColumns", "half", "columns", value_type="count"),
        line("Mean score", "p_fake over the window", "MeanScore", "half", "p_fake"),
        line("Share called fake", _FAKE, "FakeVerdicts", "half", "share", value_type="share"),
        line("PSI of each column", "above its threshold it has drifted", "ColumnPsi", "full", "{{column}}"),
        line("Embeddings", "distance over its threshold; 1 is drift", "EmbeddingDistance", "full", "ratio"),
    ]


def _dataset(table: pd.DataFrame, measured: list[ColumnDrift]) -> Any:
    texts = {"verdict", *(column.name for column in measured if column.kind == "categorical")}
    definition = DataDefinition(
        numerical_columns=[name for name in table if name not in texts],
        categorical_columns=[name for name in table if name in texts],
    )
    return Dataset.from_pandas(table, data_definition=definition)


def _distribution(title: str, current: pd.Series, reference: pd.Series, *, kind: str) -> Any:
    bins = bin_counts(current, reference, kind=kind)
    bars = [
        {"type": "bar", "name": name, "x": bins.labels, "y": np.round(counts / counts.sum(), 4).tolist()}
        for name, counts in (("reference", bins.reference), ("window", bins.current))
    ]
    layout = {
        "yaxis": {"title": {"text": "share"}},
        "legend": {"orientation": "h", "y": 1.15},
        "margin": {"t": 50, "b": 110},
    }
    return plotly_data(title=title, data=bars, layout=layout, size=WidgetSize.HALF)


def _with_counter(result: Any, label: str, value: str, size: WidgetSize = WidgetSize.HALF) -> Any:
    result.widget = [counter(counters=[CounterData(label=label, value=value)], size=size)]
    return result
