"""Fills the face store: finds what it lacks for a set of items and has an executor extract that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from deepfakestream.data.extraction.executors import Executor
from deepfakestream.data.extraction.face_jobs import DetectorFactory, FaceJob, JobItem, run_jobs
from deepfakestream.data.extraction.face_store import FaceStore, exclusive_store, store_key
from deepfakestream.errors import DataError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.host.progress import progress_bar
from deepfakestream.media.types import MediaBudget

CROPS_PER_JOB = 128
BUDGET = MediaBudget(max_wall_s=900.0)
"""Of one item. Its result is kept for good: a busy machine must not cut it short; frames and pixels may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Items of one kind, and where in the store their results lie."""

    items: pd.DataFrame
    is_crop: bool
    store_key: str
    store: FaceStore

    @property
    def items_per_job(self) -> int:
        """A face crop is done in no time, a video is not."""
        return CROPS_PER_JOB if self.is_crop else 1

    def without(self, found: Mapping[str, Path]) -> _Part:
        return replace(self, items=self.items[~self.items["media_id"].isin(found)])


def fill_store(
    manifest: pd.DataFrame,
    spec: ExtractionSpec,
    factory: DetectorFactory,
    *,
    data_dir: Path,
    store_dir: Path,
    executor: Executor,
) -> tuple[dict[str, Path], int]:
    """Extract what the store lacks; return the file of every item and how many were there before.

    Args:
        manifest: the items, one row each with `MANIFEST_COLUMNS`.
        spec: how faces are found and cut out.
        factory: opens the detector, in each worker.
        data_dir: folder with the items' media.
        store_dir: folder of the face store.
        executor: does the work.

    Returns:
        `media_id` to the file with its faces, and the number of items that the store held already.

    Raises:
        DataError: another process is extracting, a file is missing, or workers kept their results elsewhere.
        ParamsError: the executor needs an extra that is not installed.
        ServerError: the Ray cluster cannot be reached.
        WeightsError: the detector cannot be opened.
    """
    stored: dict[str, Path] = {}
    with exclusive_store(store_dir):
        parts = _parts(manifest, spec, factory, store_dir)
        found = [part.store.index() for part in parts]
        missing = [part.without(index) for part, index in zip(parts, found, strict=True)]
        num_missing = sum(len(part.items) for part in missing)
        if num_missing:
            jobs = chain.from_iterable(_plan(part, spec, data_dir, store_dir) for part in missing)
            done = run_jobs(jobs, factory, executor)
            with closing(done):  # whatever happens, no worker runs on without the store's lock
                items = chain.from_iterable(job.items for job in done)
                for _ in progress_bar(items, description="extract", total=num_missing, unit="item"):
                    pass
            found = [part.store.index(index) for part, index in zip(parts, found, strict=True)]
    for part, index in zip(parts, found, strict=True):
        stored |= {media_id: index[media_id] for media_id in part.items["media_id"] if media_id in index}
    absent = manifest.loc[~manifest["media_id"].isin(stored), "media_id"]
    if len(absent):
        raise DataError(
            f"{store_dir}: lacks {len(absent)} items that workers have finished, the first is "
            f"{absent.iloc[0]}; keep the workspace on storage that all machines of the cluster share"
        )
    return stored, len(manifest) - num_missing


def _parts(
    manifest: pd.DataFrame, spec: ExtractionSpec, factory: DetectorFactory, store_dir: Path
) -> list[_Part]:
    # By file and member, so that each tar shard is read from front to back.
    ordered = manifest.sort_values(["path", "member", "media_id"], kind="stable")
    is_crop = ordered["kind"] == "crop"
    digest = "" if is_crop.all() else factory().digest
    parts = []
    for kind in (True, False):
        key = store_key(spec, detector_digest=digest, is_crop=kind)
        store = FaceStore(store_dir, key)
        parts.append(_Part(items=ordered[is_crop == kind], is_crop=kind, store_key=key, store=store))
    return parts


def _plan(part: _Part, spec: ExtractionSpec, data_dir: Path, store_dir: Path) -> Iterator[FaceJob]:
    # Absolute, because a worker on a cluster stands in another folder.
    store_dir, data_dir = store_dir.resolve(), data_dir.resolve()
    columns = (part.items[name] for name in ("media_id", "path", "member"))
    items = (
        JobItem(media_id=media_id, path=data_dir / path, member=None if pd.isna(member) else member)
        for media_id, path, member in zip(*columns, strict=True)
    )
    while batch := tuple(islice(items, part.items_per_job)):
        yield FaceJob(
            items=batch,
            is_crop=part.is_crop,
            store_dir=store_dir,
            store_key=part.store_key,
            spec=spec,
            budget=BUDGET,
        )
