"""What a reader of the MLflow pages sees of a decision: tags of version and run, and the whole entry."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from deepfakestream.promotion.ledger import Entry
from deepfakestream.registry import versions
from deepfakestream.registry.store import Store
from deepfakestream.registry.tracking import TrackedRun

DECISION_TAG = "gate_decision_id"


def note_decision(entry: Entry, *, store: Store, tracked: TrackedRun) -> None:
    """Leave a ledger's entry on its version and on the version's run; the tag with its id is the last.

    Args:
        entry: of the ledger.
        store: the MLflow store.
        tracked: the run of the training.

    Raises:
        ServerError: the registry does not answer.
    """
    version, before = entry["version"], entry["champion_before"]
    outcome = str(entry["outcome"])
    tracked.set_tags({"gate_outcome": outcome, "registered_version": str(version)})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"decision-version-{version}.json"
        path.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        tracked.log_artifact(path, "promote")
    versions.tag_version(
        store,
        version,
        {
            "gate_outcome": outcome,
            "gate_reasons": "; ".join(entry["reasons"]),
            "gate_compared_with": "floors only" if before is None else f"version {before}",
            DECISION_TAG: entry["decision_id"],
        },
    )
