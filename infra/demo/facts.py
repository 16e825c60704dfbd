"""What the demo found, as a value: the summary prints it, `summary.json` keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepfakestream.data.extraction.crop_assembly import SUMMARY_FILE
from deepfakestream.data.validation.report import REPORT_FILE as VALIDATE_FILE
from deepfakestream.evaluation.files import METRICS_FILE
from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.frozen import Frozen
from deepfakestream.monitoring.drift import REPORT_FILE as DRIFT_FILE
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.promotion.ledger import LEDGER_FILE, read_entries
from deepfakestream.scanning.result import Verdict
from deepfakestream.scanning.wording import VERDICT_WORDS
from deepfakestream.settings import Settings


class Ingested(Frozen):
    """What the step ingest did."""

    num_added: int
    num_known: int
    num_items: int
    refused: dict[str, int]
    """Reason code to number of files."""
    data_digest: str | None


class Checked(Frozen):
    """What extract and validate left behind."""

    num_items: int
    num_crops: int
    num_without_face: int
    num_rules: int
    num_rules_kept: int
    passed: bool


class Answer(Frozen):
    """What the service said about a file."""

    file: str
    label: str
    verdict: Verdict
    p_fake: float | None
    model_version: str

    @property
    def outcome(self) -> str:
        """How the verdict fits the label: `right`, `wrong`, or `undecided` where it takes no side."""
        said = {"likely_fake": "fake", "likely_real": "real"}.get(self.verdict)
        if said is None:
            return "undecided"
        return "right" if said == self.label else "wrong"

    def describe(self) -> str:
        """Return the answer as a line of a table."""
        score = "no score" if self.p_fake is None else f"p_fake {self.p_fake:.3f}"
        said = f"{self.file:<34}{VERDICT_WORDS[self.verdict]:<15}{score:<14}"
        return f"{said}in truth {self.label}: {self.outcome}"


class GateDecision(Frozen):
    """A decision of the promotion gate."""

    version: int
    promoted: bool
    outcome: str
    reasons: tuple[str, ...]
    """The sentences that carry the outcome."""


class Retraining(Frozen):
    """What the drift event led to."""

    started: bool
    """Whether the automation started the retrain flow."""
    refusals: tuple[str, ...] = ()
    """Why the governor said no; empty where it said yes."""
    gate: GateDecision | None = None
    """The gate's decision about the new model."""
    asked_again: tuple[str, ...] = ()
    """The governor's reasons when it was asked once more right after."""


class Facts(Frozen):
    """Everything."""

    num_people: int
    num_labelled: int
    sample_was_there: bool
    ingested: Ingested
    checked: Checked
    metrics: Metrics
    first_gate: GateDecision | None
    """The newest decision after the train flow; None where the model was champion already."""
    champion: int
    answers: tuple[Answer, ...]
    drift_before: DriftReport
    drift_after: DriftReport
    retraining: Retraining
    champion_at_end: int
    seconds: dict[str, float]


def read_checked(settings: Settings) -> Checked:
    """Return what extract and validate wrote."""
    extracted = _read(settings.extract_dir / SUMMARY_FILE)
    validated = _read(settings.validate_dir / VALIDATE_FILE)
    return Checked(
        num_items=extracted["num_items"],
        num_crops=extracted["num_crops"],
        num_without_face=extracted["num_without_face"],
        num_rules=len(validated["rules"]),
        num_rules_kept=sum(rule["passed"] for rule in validated["rules"]),
        passed=validated["passed"],
    )


def read_metrics(settings: Settings) -> Metrics:
    """Return what evaluate measured last."""
    return Metrics.model_validate(_read(settings.evaluate_dir / METRICS_FILE)["metrics"])


def read_drift(settings: Settings) -> DriftReport:
    """Return what the drift check found last."""
    return DriftReport.model_validate(_read(settings.artifacts_dir / "drift" / DRIFT_FILE))


def gates(settings: Settings) -> list[GateDecision]:
    """Return the promotion gate's decisions, the oldest first."""
    return [
        GateDecision(
            version=entry["version"],
            promoted=entry["promoted"],
            outcome=entry["outcome"],
            reasons=tuple(entry["reasons"]),
        )
        for entry in read_entries(settings.work_dir / LEDGER_FILE)
    ]


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
