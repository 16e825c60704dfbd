"""Trying refused items again: those of ingestion at once, those without a face at the next extraction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from deepfakestream.data.extraction.face_store import drop_everywhere
from deepfakestream.data.ingestion.params import IngestParams
from deepfakestream.data.manifest import read_manifest_or_empty
from deepfakestream.data.quarantine import LedgerEntry, Origin, Quarantine
from deepfakestream.errors import Reason
from deepfakestream.host.file_names import path_of
from deepfakestream.pipeline import ingest
from deepfakestream.settings import Settings

_SAME_CONTENT = (Reason.DUPLICATE, Reason.LABEL_CONFLICT)


class RequeueOutcome(StrEnum):
    """What became of a requeued entry."""

    TAKEN = "taken"
    REFUSED = "refused again"
    WAITING = "waiting for the next extraction"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeuedItem:
    """One requeued entry."""

    entry: LedgerEntry
    result: RequeueOutcome
    message: str = ""
    """Why it was refused or not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequeueReport:
    """What became of all requeued entries."""

    items: Sequence[RequeuedItem]

    def describe(self) -> str:
        """Return the report as a few lines."""
        if not self.items:
            return "no entry of the quarantine is like that; see 'deepfakestream data quarantine list'"
        counts = Counter(item.result for item in self.items)
        counts_text = ", ".join(f"{counts[result]} {result}" for result in RequeueOutcome if counts[result])
        lines = [f"{len(self.items)} requeued: {counts_text}"]
        lines += [f"{item.result}: {item.message}" for item in self.items if item.message]
        if counts[RequeueOutcome.WAITING]:
            lines.append("next: 'dvc repro --force extract' opens the waiting items again")
        return "\n".join(lines)


def run(
    *,
    params: IngestParams,
    settings: Settings,
    reason: Reason | None = None,
    source: str | None = None,
    name: str | None = None,
) -> RequeueReport:
    """Try entries of the quarantine again: those of one reason, one set, one name, or what all of these say.

    What ingestion refused is looked up in its source and examined again now; where it is fine, it is taken.
    Copies and label conflicts are looked at together with all entries of the same content. What extraction
    could not use is dropped from the face store, so that the next extraction opens it again.

    Args:
        params: section `ingest`.
        settings: of the workspace.
        reason: code of a refusal; None: any.
        source: name of a dataset; None: any.
        name: name in the source; None: any.

    Raises:
        DataError: a source contradicts its layout, or another process is ingesting or extracting.
    """
    ledger = Quarantine(settings.quarantine_db)
    chosen = ledger.list(reason=reason, source=source, name=name)
    in_set = set(read_manifest_or_empty(settings.data_dir)["media_id"])
    held = [entry for entry in chosen if entry.is_about_one_of(in_set)]
    refused = _with_same_content(
        [entry for entry in chosen if not entry.is_about_one_of(in_set)], ledger.list()
    )
    drop_everywhere(settings.face_store_dir, {entry.refusal.media_id or "" for entry in held})
    items = [RequeuedItem(entry=entry, result=RequeueOutcome.WAITING) for entry in held]
    for origin in dict.fromkeys(entry.origin for entry in refused):
        group = [entry for entry in refused if entry.origin == origin]
        items += _ask_source(group, origin, params, settings, ledger)
    return RequeueReport(items=items)


def _with_same_content(chosen: list[LedgerEntry], everything: list[LedgerEntry]) -> list[LedgerEntry]:
    # One side of a label conflict must not be taken because the other side was not looked at.
    contents = {e.refusal.media_id for e in chosen if e.refusal.reason in _SAME_CONTENT}
    others = [
        entry
        for entry in everything
        if entry.refusal.reason in _SAME_CONTENT
        and entry.refusal.media_id in contents
        and entry not in chosen
    ]
    return chosen + others


def _ask_source(
    group: list[LedgerEntry],
    origin: Origin | None,
    params: IngestParams,
    settings: Settings,
    ledger: Quarantine,
) -> list[RequeuedItem]:
    if origin is None:
        reason = "an older version did not note where it came from; ingest its source again"
        return [_not_tried(entry, reason) for entry in group]
    root = path_of(origin.root)
    if not root.exists():
        return [_not_tried(entry, f"{origin.root} is not there; fetch it") for entry in group]
    keys = frozenset((entry.refusal.source, entry.refusal.original_name) for entry in group)
    request = ingest.IngestRequest(
        layout=origin.layout, name=origin.set_name, licence=origin.licence, only=keys
    )
    report = ingest.run(root, params=params, settings=settings, request=request)
    return [_requeued(entry, report, origin, settings, ledger) for entry in group]


def _requeued(
    entry: LedgerEntry,
    report: ingest.IngestReport,
    origin: Origin,
    settings: Settings,
    ledger: Quarantine,
) -> RequeuedItem:
    key = (entry.refusal.source, entry.refusal.original_name)
    for refusal in report.refused:
        if (refusal.source, refusal.original_name) == key:
            if refusal.reason != entry.refusal.reason:
                ledger.release([key], reason=entry.refusal.reason)
            return RequeuedItem(
                entry=entry, result=RequeueOutcome.REFUSED, message=f"{refusal.reason}: {refusal.message}"
            )
    manifest = read_manifest_or_empty(settings.data_dir)
    if key in set(zip(manifest["source"], manifest["original_name"], strict=True)):
        ledger.release([key], reason=entry.refusal.reason)
        return RequeuedItem(entry=entry, result=RequeueOutcome.TAKEN)
    return _not_tried(entry, f"{origin.root} no longer names it")


def _not_tried(entry: LedgerEntry, why: str) -> RequeuedItem:
    name = f"{entry.refusal.source}/{entry.refusal.original_name}"
    return RequeuedItem(entry=entry, result=RequeueOutcome.NOT_TRIED, message=f"{name}: {why}")
