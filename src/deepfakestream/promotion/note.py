"""What a reader of the MLflow pages sees: tags of version and run, the whole entry, the history as notes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from deepfakestream.promotion.history import (
    HISTORY_HEADING,
    reigns,
    reigns_as_markdown,
    version_as_markdown,
)
from deepfakestream.promotion.ledger import Entry
from deepfakestream.registry import versions
from deepfakestream.registry.description import DESCRIPTION
from deepfakestream.registry.store import Store
from deepfakestream.registry.tracking import TrackedRun

DECISION_TAG = "gate_decision_id"
RUN_NOTE_TAG = "mlflow.note.content"
"""What MLflow's page of a run shows as its description."""


def note_history(entries: Sequence[Entry], concerned: Collection[int], *, store: Store) -> None:
    """Write who was champion when into the registered model's notes, and each version's part into its own.

    Args:
        entries: the whole ledger.
        concerned: versions whose notes are to be written.
        store: the MLflow store.

    Raises:
        ServerError: the registry does not answer.
    """
    notes = {}
    for version in concerned:
        first = versions.get_version(store, version).description.partition(HISTORY_HEADING)[0].rstrip()
        notes[version] = f"{first}\n\n{version_as_markdown(entries, version)}"
    model = f"{DESCRIPTION}\n{reigns_as_markdown(reigns(entries))}"
    versions.write_notes(store, model=model, by_version=notes)


def note_decision(entry: Entry, entries: Sequence[Entry], *, store: Store, tracked: TrackedRun) -> None:
    """Leave a ledger's entry on its version and on the version's run; the tag with its id is the last.

    Args:
        entry: of the ledger.
        entries: the whole ledger, this entry included.
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
    note_history(entries, [version], store=store)
    tracked.set_tags({RUN_NOTE_TAG: versions.get_version(store, version).description})
    versions.tag_version(
        store,
        version,
        {
            "gate_outcome": outcome,
            "gate_reasons": "; ".join(entry["reasons"]),
            "gate_compared_with": f"version {before or 0}",
            DECISION_TAG: entry["decision_id"],
        },
    )
