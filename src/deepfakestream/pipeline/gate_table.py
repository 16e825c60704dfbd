"""The newest decision of the promotion gate, as a page for people shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from deepfakestream.pipeline.training_facts import RUN_FILE, read_training_facts
from deepfakestream.promotion.ledger import LEDGER_FILE, gate_decisions, read_entries
from deepfakestream.settings import Settings
from deepfakestream.wiring import model_page, run_page


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTable:
    """One decision."""

    summary: str
    rows: list[dict[str, str]]
    """A row a rule: its name, what it says, and why."""
    links: dict[str, tuple[str, str]]
    """Key to text and address of a page in MLflow."""


def gate_table(settings: Settings, *, since: datetime) -> GateTable | None:
    """Return the newest decision, or None where it is older.

    Args:
        settings: of the workspace.
        since: moment, in UTC.

    Raises:
        WeightsError: a file of the trained model is damaged.
    """
    decisions = gate_decisions(read_entries(settings.work_dir / LEDGER_FILE))
    if not decisions or datetime.fromisoformat(decisions[-1]["decided_at"]) < since.replace(microsecond=0):
        return None
    entry = decisions[-1]
    version, before = entry["version"], entry["champion_before"] or 0
    rows = [
        {"rule": rule["name"], "says": rule["outcome"], "because": rule["text"]}
        for rule in entry.get("rules", [])
    ]
    links = {"model-version": (f"version {version} in MLflow", model_page(settings, version))}
    facts = read_training_facts(settings.train_dir / RUN_FILE, kind=dict) or {}
    if facts.get("run_id") == entry["run_id"]:
        address = run_page(settings, facts["experiment"], facts["run_id"])
        links["training-run"] = ("the training in MLflow", address)
    return GateTable(
        summary=f"{entry['outcome']}: version {version} against version {before}", rows=rows, links=links
    )
