"""Dropping entries of the quarantine: of files that are gone, or that nobody wants to hear of any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepfakestream.data.manifest import read_manifest_or_empty
from deepfakestream.data.quarantine import LedgerEntry, Quarantine, describe_entries
from deepfakestream.errors import Reason
from deepfakestream.host.counted import counted
from deepfakestream.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPlan:
    """Which entries are meant."""

    entries: Sequence[LedgerEntry]
    """Those that can be dropped."""
    num_of_stages: int
    """Entries that were asked for and stay: they are about items of the dataset, and stages keep them."""

    def describe(self) -> str:
        """Return the plan as a few lines."""
        if not self.entries and not self.num_of_stages:
            return "no entry of the quarantine is like that; see 'deepfakestream data quarantine list'"
        lines = [describe_entries(self.entries)] if self.entries else []
        if self.num_of_stages:
            lines.append(
                f"{counted(self.num_of_stages, 'entry')} of items in the dataset: kept until extract or "
                "validate finds nothing against them; 'deepfakestream data forget' removes such an item"
            )
        return "\n".join(lines)


def plan(
    *,
    settings: Settings,
    reason: Reason | None = None,
    source: str | None = None,
    name: str | None = None,
) -> DropPlan:
    """Find the entries of one reason, one set, one name, or what all of these say.

    Args:
        settings: of the workspace.
        reason: code of a refusal; None: any.
        source: name of a dataset; None: any.
        name: name in the source; None: any.

    Raises:
        DataError: the manifest is damaged.
    """
    chosen = Quarantine(settings.quarantine_db).list(reason=reason, source=source, name=name)
    in_set = set(read_manifest_or_empty(settings.data_dir)["media_id"])
    entries = [entry for entry in chosen if not entry.is_about_one_of(in_set)]
    return DropPlan(entries=entries, num_of_stages=len(chosen) - len(entries))


def run(entries: Sequence[LedgerEntry], *, settings: Settings) -> str:
    """Drop entries and say so; a file that its source still has comes back with its next ingestion.

    Args:
        entries: of the quarantine.
        settings: of the workspace.
    """
    Quarantine(settings.quarantine_db).drop(entries)
    return f"dropped {len(entries)}; what its source still has comes back when that is ingested again"
