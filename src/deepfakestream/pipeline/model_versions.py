"""What the registry holds, for people: versions, one of them, the history of champions, two side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepfakestream.errors import DataError
from deepfakestream.evaluation.files import METRICS_FILE
from deepfakestream.frozen import Frozen
from deepfakestream.host.text_table import text_table
from deepfakestream.host.whole_files import replacing
from deepfakestream.promotion.history import Reign, reigns, version_events
from deepfakestream.promotion.history_plot import draw_history
from deepfakestream.promotion.ledger import LEDGER_FILE, read_entries
from deepfakestream.registry import versions
from deepfakestream.registry.champion import PACKAGED_NUMBER, ROLLED_BACK_TAG
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


class VersionFacts(Frozen):
    """One registered version and what was decided about it."""

    version: int
    aliases: tuple[str, ...]
    registered_at: str
    metrics: dict[str, float]
    """Logged with the version: `test_auc`, `test_auc_low`, `test_ece` ..."""
    tags: dict[str, str]
    events: tuple[str, ...] = ()
    """Decisions and rollbacks, the oldest first."""

    @property
    def decision(self) -> str:
        """The gate's last word, and whether a rollback removed the version."""
        outcome = self.tags.get("gate_outcome", "not asked")
        return f"{outcome}, rolled back" if ROLLED_BACK_TAG in self.tags else outcome

    def describe(self) -> str:
        """Return everything as lines."""
        role = f" ({', '.join(self.aliases)})" if self.aliases else ""
        lines = [f"version {self.version}{role}, registered {self.registered_at}, gate: {self.decision}"]
        numbers = [[name, _number(value)] for name, value in sorted(self.metrics.items())]
        lines += ["", *text_table(["metric", "value"], numbers, right=["value"])] if numbers else []
        lines += ["", *text_table(["tag", "value"], sorted(self.tags.items()))]
        lines += ["", "history:", *(f"  {event}" for event in self.events or ["nothing is recorded"])]
        return "\n".join(lines)


class VersionList(Frozen):
    """Every registered version."""

    name: str
    versions: tuple[VersionFacts, ...]

    def describe(self) -> str:
        """Return a table, the newest version first."""
        if not self.versions:
            return f"{self.name}: no version is registered; version 0, the packaged model, is served"
        rows = [
            [
                one.version,
                ", ".join(one.aliases),
                one.registered_at,
                _number(one.metrics.get("test_auc")),
                _number(one.metrics.get("test_ece")),
                one.decision,
                one.tags.get("dvc_data_md5", "unknown")[:8],
            ]
            for one in reversed(self.versions)
        ]
        headings = ["version", "role", "registered", "AUC", "ECE", "gate", "data"]
        return "\n".join(text_table(headings, rows, right=["version", "AUC", "ECE"]))


class History(Frozen):
    """Who was champion when."""

    name: str
    champion: int
    """By the registry, now; 0 is the packaged model."""
    reigns: tuple[Reign, ...]

    def describe(self) -> str:
        """Return a table, the oldest reign first, and a warning where the registry says something else."""
        rows = [
            [one.version, one.since, one.until or "now", one.action, one.by, "; ".join(one.reasons)]
            for one in self.reigns
        ]
        lines = text_table(
            ["champion", "since", "until", "action", "by", "reasons"], rows, right=["champion"]
        )
        last = self.reigns[-1].version if self.reigns else PACKAGED_NUMBER
        if not rows:
            lines = [f"{self.name}: nothing was promoted yet"]
        if last != self.champion:
            lines.append(
                f"warning: the registry says that version {self.champion} is champion; another program or "
                "another workspace moved the alias and left no record here"
            )
        return "\n".join(lines)


class Comparison(Frozen):
    """Two versions side by side."""

    versions: tuple[int, int]
    same_test_files: bool
    metrics: dict[str, tuple[float | None, float | None]]
    slices: dict[str, tuple[float | None, float | None]]
    """AUC of each slice that either was measured on."""

    def describe(self) -> str:
        """Return two tables, metrics and AUC by slice, with the difference of the second to the first."""
        first, second = (f"version {number}" for number in self.versions)
        lines = [] if self.same_test_files else ["measured on different test files: differences say little"]
        for title, table in (("metric", self.metrics), ("AUC of the slice", self.slices)):
            rows = [
                [name, _number(a), _number(b), None if a is None or b is None else f"{b - a:+.4f}"]
                for name, (a, b) in table.items()
            ]
            lines += [
                "",
                *text_table([title, first, second, "change"], rows, right=[first, second, "change"]),
            ]
        return "\n".join(lines).strip("\n")


def list_versions(settings: Settings) -> VersionList:
    """Return what the registry holds.

    Raises:
        ServerError: the registry does not answer.
    """
    store = mlflow_store(settings)
    facts = tuple(_facts(settings, one) for one in versions.list_versions(store))
    return VersionList(name=store.registered_model, versions=facts)


def show(settings: Settings, version: int) -> VersionFacts:
    """Return what is known of a version.

    Args:
        settings: of the workspace.
        version: number of the version.

    Raises:
        DataError: the registry has no such version.
        ServerError: the registry does not answer.
    """
    found = versions.get_version(mlflow_store(settings), version)
    events = version_events(read_entries(settings.work_dir / LEDGER_FILE), version)
    return _facts(settings, found).model_copy(update={"events": tuple(events)})


def history(settings: Settings) -> History:
    """Return every reign that this workspace's ledger knows of.

    Raises:
        ServerError: the registry does not answer.
    """
    store = mlflow_store(settings)
    return History(
        name=store.registered_model,
        champion=versions.get_alias(store, versions.CHAMPION) or PACKAGED_NUMBER,
        reigns=reigns(read_entries(settings.work_dir / LEDGER_FILE)),
    )


def write_plot(settings: Settings, path: Path) -> None:
    """Draw the metrics of all versions into a PNG, champions marked.

    Args:
        settings: of the workspace.
        path: of the picture; replaced.

    Raises:
        ServerError: the registry does not answer.
    """
    past = history(settings)
    metrics = {one.version: one.metrics for one in list_versions(settings).versions}
    picture = draw_history(metrics, champions={one.version for one in past.reigns}, champion=past.champion)
    with replacing(path) as partial:
        partial.write_bytes(picture)


def compare(settings: Settings, first: int, second: int) -> Comparison:
    """Return the metrics and slices of two versions side by side, each as measured before its promotion.

    Args:
        settings: of the workspace.
        first: number of a version.
        second: number of another version.

    Raises:
        DataError: the registry has no such version, or it was registered without an evaluation.
        ServerError: the registry or its file store does not answer.
    """
    evaluations = [_evaluation(settings, number) for number in (first, second)]
    metrics = [
        {name: estimate["value"] for name, estimate in one["metrics"]["estimates"].items()}
        for one in evaluations
    ]
    slices = [
        {f"{part['column']} {part['name']}": part["auc"]["value"] for part in one["slices"]}
        for one in evaluations
    ]
    return Comparison(
        versions=(first, second),
        same_test_files=evaluations[0]["test_set_sha256"] == evaluations[1]["test_set_sha256"],
        metrics=_side_by_side(*metrics),
        slices=_side_by_side(*slices),
    )


def _facts(settings: Settings, found: versions.ModelVersion) -> VersionFacts:
    return VersionFacts(
        version=found.number,
        aliases=found.aliases,
        registered_at=found.created_at.isoformat(timespec="seconds"),
        metrics=versions.read_metrics(mlflow_store(settings), found.number),
        tags=found.tags,
    )


def _evaluation(settings: Settings, version: int) -> dict[str, Any]:
    if version == PACKAGED_NUMBER:
        raise DataError(
            "version 0 ships with the package, without an evaluation on your files; name two others"
        )
    content = versions.read_attachment(mlflow_store(settings), version, METRICS_FILE)
    found: dict[str, Any] = json.loads(content)
    return found


def _side_by_side(
    first: dict[str, float | None], second: dict[str, float | None]
) -> dict[str, tuple[float | None, float | None]]:
    return {name: (first.get(name), second.get(name)) for name in {**first, **second}}


def _number(value: float | None) -> str | None:
    """Return four decimals, or a count as such; None where there is none."""
    if value is None:
        return None
    return f"{value:.0f}" if value > 1 and value.is_integer() else f"{value:.4f}"
