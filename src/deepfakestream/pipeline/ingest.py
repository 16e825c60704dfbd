"""The step ingest: labelled media enter `data/`, refused ones the quarantine, and DVC gets the version."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from deepfakestream.data.ingestion.examination import Limits, examine_all
from deepfakestream.data.ingestion.forgotten import refuse_forgotten
from deepfakestream.data.ingestion.held_groups import join_held_groups
from deepfakestream.data.ingestion.intake import Selection, copy_into, manifest_rows, relabel, select
from deepfakestream.data.ingestion.layouts import choose_layout
from deepfakestream.data.ingestion.layouts.types import Layout
from deepfakestream.data.ingestion.params import IngestParams
from deepfakestream.data.ingestion.recorded_set import RecordedSet
from deepfakestream.data.manifest import read_manifest_or_empty, write_manifest
from deepfakestream.data.quarantine import Origin, Quarantine, Refusal
from deepfakestream.data.splits import SPLITS, SplitDraw
from deepfakestream.data.tombstones import read_tombstones
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.host.file_names import utf8_name
from deepfakestream.host.progress import progress_bar
from deepfakestream.host.whole_files import remove_partials
from deepfakestream.media.types import MediaBudget
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.pipeline.locks import ingesting, one_at_a_time
from deepfakestream.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """How a source is to be taken in."""

    layout: str | None = None
    """Name of a layout; default: detected."""
    name: str | None = None
    """Name of the source; default: the folder's name."""
    licence: str = "not stated"
    dry_run: bool = False
    only: frozenset[tuple[str, str]] | None = None
    """`(source, original_name)` of the items to take; the others are left alone. None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What was taken and what was not."""

    source: Path
    layout: str
    name: str
    dry_run: bool
    num_known: int
    num_items: int
    """Items in the dataset afterwards."""
    added: pd.DataFrame
    """Manifest rows of the new items."""
    relabelled: list[str] = field(default_factory=list)
    """Held items whose source corrected their label: `name: label`."""
    refused: list[Refusal] = field(default_factory=list)
    data_digest: str | None = None
    """Digest of `data.dvc`; None outside of a DVC repository."""

    def describe(self) -> str:
        """Return the report as a few lines: counts per label, manipulation and split, refusals by reason."""
        verb = "would add" if self.dry_run else "added"
        lines = [f"{self.source} ({self.layout}): {verb} {counted(len(self.added), 'item')} as '{self.name}'"]
        if len(self.added):
            labels = self.added["label"].value_counts()
            counts = ", ".join(f"{labels.get(label, 0)} {label}" for label in ("real", "fake"))
            lines[0] += f" ({counts}) in {self.added['group_id'].nunique()} source groups"
        elif not self.relabelled:
            lines[0] += "; nothing changed"
        lines += _count_lines(self.added)
        if self.relabelled:
            corrected = "would correct" if self.dry_run else "corrected"
            lines.append(f"{corrected} {counted(len(self.relabelled), 'label')} (e.g. {self.relabelled[0]})")
        when = "afterwards" if self.dry_run else "now"
        lines.append(f"in the dataset already: {self.num_known}; in the dataset {when}: {self.num_items}")
        for reason, count in Counter(refusal.reason for refusal in self.refused).most_common():
            example = next(refusal.message for refusal in self.refused if refusal.reason == reason)
            lines.append(f"refused {count}: {reason} (e.g. {example})")
        if self.data_digest:
            lines.append(f"data version: {self.data_digest} (data.dvc)")
        return utf8_name("\n".join(lines))


def run(source: Path, *, params: IngestParams, settings: Settings, request: IngestRequest) -> IngestReport:
    """Take a source's media into the workspace's `data/`; a second time changes nothing and says so.

    Args:
        source: folder, table or tar shards.
        params: section `ingest`.
        settings: of the workspace.
        request: how to read and name the source.

    Raises:
        DataError: the source is missing, empty, contradicts its layout, or every file in it was refused; or
            `data.dvc` names a dataset that was not pulled.
    """
    layout = choose_layout(source, request.layout)
    resolved = source.resolve()
    name = utf8_name(request.name or (resolved.parent if resolved.is_file() else resolved).name)
    if request.dry_run:
        return _take(source, layout, name, params, settings, request)
    with ingesting(settings):
        remove_partials(settings.data_dir)
        return _take(source, layout, name, params, settings, request)


def _take(
    source: Path,
    layout: Layout,
    name: str,
    params: IngestParams,
    settings: Settings,
    request: IngestRequest,
) -> IngestReport:
    recorded = RecordedSet(settings.workspace, settings.data_dir)
    recorded.require_reachable()
    present = read_manifest_or_empty(settings.data_dir)
    selection = _examine(source, layout, name, params, settings, request.only, present)
    added = manifest_rows(
        selection.new,
        licence=request.licence,
        draw=SplitDraw(params.split_fractions.model_dump(), params.split_salt),
        present=present,
    )
    corrected = relabel(present, selection.relabelled) if selection.relabelled else present
    together = pd.concat([corrected, added], ignore_index=True) if len(added) else corrected
    recorded.require_same(selection.new, together)
    origin = Origin(root=str(source.resolve()), layout=layout.name, set_name=name, licence=request.licence)
    digest = None
    if not request.dry_run:
        with one_at_a_time(settings):
            digest = _store(selection, added, together, settings, origin)
    if not request.dry_run and (len(added) or selection.relabelled):
        counts = {
            "added": len(added),
            "relabelled": len(selection.relabelled),
            "refused": len(selection.refused),
        }
        origin_facts = {"source": str(source.resolve()), "name": name, "licence": request.licence}
        append_audit(settings.audit_file, "ingest", {**origin_facts, **counts, "data": digest})
    nothing_usable = selection.refused and not (selection.new or selection.num_known)
    if nothing_usable and request.only is None and not request.dry_run:
        first = selection.refused[0]
        raise DataError(
            f"{source}: all {len(selection.refused)} files were refused, the first because: {first.message}"
        )
    return IngestReport(
        source=source,
        layout=layout.name,
        name=name,
        dry_run=request.dry_run,
        num_known=selection.num_known,
        num_items=len(together),
        added=added,
        relabelled=[f"{item.item.name}: {item.label}" for item in selection.relabelled],
        refused=selection.refused,
        data_digest=digest,
    )


def _examine(
    source: Path,
    layout: Layout,
    name: str,
    params: IngestParams,
    settings: Settings,
    only: frozenset[tuple[str, str]] | None,
    present: pd.DataFrame,
) -> Selection:
    items = [
        item for item in layout.items(source) if only is None or (item.source or name, item.name) in only
    ]
    if not items and only is None:
        raise DataError(f"{source}: no media in it; give a folder or manifest with videos or pictures")
    outcomes = examine_all(
        items,
        set_name=name,
        known=set(present["media_id"]),
        limits=Limits(min_duration_s=params.min_duration_s, budget=MediaBudget()),
    )
    tracked = progress_bar(outcomes, description="examine", total=len(items), unit="file")
    allowed = refuse_forgotten(tracked, read_tombstones(settings.data_dir))
    return select(join_held_groups(allowed, present, layout), present)


def _store(
    selection: Selection, added: pd.DataFrame, together: pd.DataFrame, settings: Settings, origin: Origin
) -> str | None:
    """Copy the new bytes, then write the manifest, then the ledger and the version."""
    copies = copy_into(settings.data_dir, selection.new)
    for _ in progress_bar(copies, description="copy", total=len(selection.new), unit="file"):
        pass
    if len(added) or selection.relabelled:
        write_manifest(settings.data_dir, together)
    ledger = Quarantine(settings.quarantine_db)
    ledger.release(zip(added["source"], added["original_name"], strict=True))
    ledger.release((item.source, item.item.name) for item in selection.relabelled)
    ledger.add(selection.refused, origin=origin)
    repo = DvcRepo(settings.workspace)
    if not repo.exists or not len(together):
        return None
    repo.add_data()
    try:
        repo.push()
    except DataError as error:
        raise DataError(
            f"{counted(len(added), 'item')} added to data/ and data.dvc, but not pushed: {error}; "
            "then run 'deepfakestream data push'"
        ) from error
    return repo.data_digest()


def _count_lines(added: pd.DataFrame) -> list[str]:
    if not len(added):
        return []
    counts = Counter(zip(added["label"], added["manipulation"], added["split"], strict=True))
    lines = [f"  {'label':8}{'manipulation':24}" + "".join(f"{split:>8}" for split in SPLITS)]
    for label, method in sorted({(label, method) for label, method, _ in counts}):
        numbers = "".join(f"{counts[label, method, split]:>8}" for split in SPLITS)
        lines.append(f"  {label:8}{method:24}{numbers}")
    return lines
