"""Forgetting items: out of the dataset, the face store, the quarantine, DVC's cache and its remotes.

The tombstone is written first. Whatever a kill leaves undone, the next call finishes: it enforces every
tombstone of the dataset, wherever this machine can reach.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pandas as pd

from deepfakestream.data.extraction.face_store import drop_everywhere
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.tombstones import Tombstone, add_tombstones, read_tombstones
from deepfakestream.data.versioning.forgetting import MIN_PREFIX, remove_from_data, resolve_item
from deepfakestream.data.versioning.named_data import read_named_items
from deepfakestream.data.versioning.object_stores import open_stores
from deepfakestream.data.versioning.object_traces import find_traces, mentions
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.pipeline.locks import ingesting, one_at_a_time
from deepfakestream.settings import Settings

_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPlan:
    """Which items are meant."""

    items: pd.DataFrame
    """Manifest rows of the items."""
    companions: pd.DataFrame
    """Manifest rows of other items of the same groups, e.g. fakes of a forgotten original."""
    forgotten: Sequence[Tombstone] = ()
    """Tombstones of items that were asked for and are forgotten already."""

    def describe(self) -> str:
        """Return the plan as a few lines."""
        lines = [_line(row) for _, row in self.items.iterrows()]
        lines += [
            f"{stone.media_id[:12]} was forgotten on {stone.forgotten_at[:10]} already ({stone.reason})"
            for stone in self.forgotten
        ]
        if len(self.companions):
            lines.append(
                f"{len(self.companions)} other items share their groups and stay, "
                "e.g. fakes of the same person; forget them too where that is meant:"
            )
            lines += [f"  {_line(row)}" for _, row in self.companions.head(_LISTED).iterrows()]
            if len(self.companions) > _LISTED:
                lines.append(f"  and {len(self.companions) - _LISTED} more")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetReport:
    """What was removed, or would be."""

    dry_run: bool
    num_items: int
    num_stored: int = 0
    """Entries of the face store."""
    num_refusals: int = 0
    """Entries of the quarantine."""
    objects: dict[str, int] = field(default_factory=dict)
    """Objects removed from each of DVC's stores."""
    artifacts: Sequence[str] = ()
    """Files under `artifacts/` that still name an item."""
    data_digest: str | None = None

    def describe(self) -> str:
        """Return the report as a few lines."""
        verb = "would remove" if self.dry_run else "removed"
        counts = [f"{counted(self.num_items, 'item')} of the dataset"]
        if not self.dry_run:
            counts.append(f"{counted(self.num_stored, 'result')} of the face store")
            counts.append(counted(self.num_refusals, "refusal"))
        counts += [f"{counted(number, 'object')} of the {name}" for name, number in self.objects.items()]
        lines = [f"{verb} " + ", ".join(counts)]
        if not (self.dry_run or self.num_items or self.num_stored or self.num_refusals):
            lines[0] += "" if any(self.objects.values()) else "; nothing was left of what is forgotten"
        if self.artifacts:
            lines.append(
                f"artifacts/ still holds or names a forgotten item in {counted(len(self.artifacts), 'file')} "
                f"({self.artifacts[0]}, …): 'dvc repro' makes them again without it"
            )
        if self.data_digest:
            lines.append(f"data version: {self.data_digest} (data.dvc)")
        return "\n".join(lines)


def plan(items: Sequence[str], *, settings: Settings) -> ForgetPlan:
    """Find the items that are meant.

    Args:
        items: each `source/original_name` or the first digits of a sha256.
        settings: where things are.

    Raises:
        DataError: nothing was ingested, `data/` is another version than the one that `data.dvc` names, or an
            item is unknown or called by too few digits.
    """
    manifest = read_named_items(settings.workspace, settings.data_dir)
    tombstones = read_tombstones(settings.data_dir)
    chosen: set[str] = set()
    forgotten: list[Tombstone] = []
    for item in items:
        media_id = resolve_item(manifest, item)
        if media_id is not None:
            chosen.add(media_id)
            continue
        known = [stone for stone in tombstones.values() if stone.media_id.startswith(item.lower())]
        if len(item) < MIN_PREFIX or not known:
            raise DataError(_not_found(item, manifest))
        forgotten += known
    is_chosen = manifest["media_id"].isin(chosen)
    shares_group = manifest["group_id"].isin(manifest.loc[is_chosen, "group_id"])
    return ForgetPlan(
        items=manifest[is_chosen], companions=manifest[shares_group & ~is_chosen], forgotten=forgotten
    )


def _not_found(item: str, manifest: pd.DataFrame) -> str:
    """Return why an item is unknown; for a name without its source, with the sources that have it."""
    sources = sorted(manifest.loc[manifest["original_name"] == item, "source"].unique())
    if sources:
        return f"{item}: its source is missing; give {' or '.join(f'{source}/{item}' for source in sources)}"
    return (
        f"{item}: no item of the dataset is called that; give source/name or the first {MIN_PREFIX} or "
        "more digits of its sha256 (what is forgotten has no name any more)"
    )


def preview(media_ids: Collection[str], *, settings: Settings) -> ForgetReport:
    """Count what `run` would remove, and change nothing.

    Args:
        media_ids: ids of the items.
        settings: of the workspace.
    """
    objects = _purge(media_ids, settings, dry_run=True)
    return ForgetReport(dry_run=True, num_items=len(media_ids), objects=objects)


def run(media_ids: Collection[str], *, reason: str, settings: Settings) -> ForgetReport:
    """Forget items of the dataset, and enforce all tombstones that are there: everywhere, for good.

    Other items are untouched. Versions of `data/` that held an item cannot be checked out any more.

    Args:
        media_ids: items to forget; may be empty.
        reason: why; kept in the tombstone.
        settings: where things are.

    Raises:
        DataError: another process is ingesting, extracting or using DVC here, or `data/` is another version
            than the one that `data.dvc` names; or a remote cannot be reached: the tombstones stay, and the
            next call finishes the work.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with ingesting(settings), one_at_a_time(settings):
        DvcRepo(settings.workspace).require_named_data()
        add_tombstones(
            settings.data_dir,
            [Tombstone(media_id=media_id, forgotten_at=now, reason=reason) for media_id in media_ids],
        )
        report = _enforce(set(read_tombstones(settings.data_dir)), settings)
        # How many, not which: the record is kept for ever, and tombstones have the digests.
        facts = {"items": len(media_ids), "reason": reason, "data": report.data_digest}
        append_audit(settings.audit_file, "forget", facts)
    return report


def _enforce(media_ids: Collection[str], settings: Settings) -> ForgetReport:
    num_stored = drop_everywhere(settings.face_store_dir, media_ids)
    num_refusals = Quarantine(settings.quarantine_db).forget(media_ids)
    num_items = remove_from_data(settings.data_dir, media_ids)
    repo = DvcRepo(settings.workspace)
    if repo.exists:
        repo.add_data()
        repo.push()
    return ForgetReport(
        dry_run=False,
        num_items=num_items,
        num_stored=num_stored,
        num_refusals=num_refusals,
        objects=_purge(media_ids, settings, dry_run=False),
        artifacts=_artifacts_that_name(media_ids, settings),
        data_digest=repo.data_digest(),
    )


def _purge(media_ids: Collection[str], settings: Settings, *, dry_run: bool) -> dict[str, int]:
    if not media_ids or not DvcRepo(settings.workspace).exists:
        return {}
    removed: dict[str, int] = {}
    judged_packs: dict[str, bool] = {}
    with open_stores(settings.workspace) as stores:
        for store in stores:
            traces = find_traces(store, media_ids, judged_packs)
            removed[store.name] = len(traces)
            if not dry_run:
                store.delete(traces)
    return removed


def _artifacts_that_name(media_ids: Collection[str], settings: Settings) -> list[str]:
    found = []
    for path in sorted(settings.artifacts_dir.rglob("*")):
        if path.is_file():
            with path.open("rb") as content:
                if mentions(content, media_ids):
                    found.append(path.relative_to(settings.workspace).as_posix())
    return found


def _line(row: pd.Series) -> str:
    facts = f"{row['label']}, {row['split']}, {row['size_bytes']} bytes"
    return f"{row['media_id'][:12]}  {row['source']}/{row['original_name']}  ({facts})"
