"""The step extract: items of `data/` become face crops in `artifacts/extract`, by way of the face store."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.crop_assembly import EmptyItem, Summary, assemble
from deepfakestream.data.face_jobs import DetectorFactory, FaceJob, JobItem, run_jobs
from deepfakestream.data.face_store import FaceStore, read_stored, store_key
from deepfakestream.data.manifest import read_manifest, to_rows
from deepfakestream.data.quarantine import Quarantine, Refusal
from deepfakestream.errors import DataError, Reason
from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.extraction import spec_from_params
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.media.types import MediaBudget
from deepfakestream.params import ExtractParams
from deepfakestream.progress import track
from deepfakestream.settings import Settings

EXTRACT_DIR = "extract"
CROPS_PER_JOB = 128
_NAME_REASONS = (Reason.DUPLICATE, Reason.LABEL_CONFLICT, Reason.LABEL_MISSING)
"""What ingestion has against a name; that the same bytes show a face does not settle it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What the step found."""

    num_items: int
    num_crops: int
    num_without_face: int
    num_unreadable: int
    num_reused: int
    """Items whose faces were in the store already."""
    seconds: float

    def describe(self) -> str:
        """Return the report as a few lines."""
        num_new = self.num_items - self.num_reused
        rate = num_new / max(self.seconds, 1e-6)
        num_empty = self.num_without_face + self.num_unreadable
        return (
            f"extracted {self.num_crops} face crops from {self.num_items} items in {self.seconds:.1f} s: "
            f"{num_new} new ({rate:.1f}/s), {self.num_reused} from the face store\n"
            f"no face in {self.num_without_face} items, {self.num_unreadable} unreadable"
            + ("; see artifacts/extract/summary.json" if num_empty else "")
        )


def run(
    params: ExtractParams, *, settings: Settings, detector_factory: DetectorFactory | None = None
) -> ExtractReport:
    """Extract the faces of every item; write `crops.parquet`, `crops/` and `summary.json`.

    Items that the face store holds for these parameters are not opened again, so a killed run goes on where
    it was. The output depends on the items and the parameters alone, byte for byte.

    Args:
        params: section `extract` of `params.yaml`.
        settings: where things are.
        detector_factory: opens the detector in each worker; default: the one that the parameters name.

    Raises:
        DataError: nothing has been ingested, or no item has a face.
        WeightsError: the detector's weights are missing or have another digest.
    """
    started = time.monotonic()
    manifest = read_manifest(settings.data_dir)
    spec = spec_from_params(params)
    factory = detector_factory or partial(
        open_detector, params.detector, weights=settings.retinaface_r50_weights, device=settings.device
    )
    stored, num_reused = fill_store(manifest, spec, factory, settings)
    rows = to_rows(manifest)
    summary = assemble(
        settings.artifacts_dir / EXTRACT_DIR,
        ((row, read_stored(stored[row["media_id"]], row["media_id"])) for row in rows),
        shard_size=params.shard_size,
        spec=spec,
    )
    _record(summary, rows, settings)
    if summary.num_crops == 0:
        raise DataError(
            f"{settings.data_dir}: no usable face in any of {len(rows)} items; lower extract.min_score or "
            "extract.min_face_px in params.yaml, or ingest media that show faces"
        )
    return ExtractReport(
        num_items=summary.num_items,
        num_crops=summary.num_crops,
        num_without_face=len(summary.without_face),
        num_unreadable=len(summary.unreadable),
        num_reused=num_reused,
        seconds=time.monotonic() - started,
    )


def fill_store(
    manifest: pd.DataFrame, spec: ExtractionSpec, factory: DetectorFactory, settings: Settings
) -> tuple[dict[str, Path], int]:
    """Extract what the store lacks; return the file of every item and how many were there before."""
    crops, media = _by_kind(manifest)
    digest = factory().digest if len(media) else ""
    stores = [
        (crops, store_key(spec, detector_digest="", is_crop=True), CROPS_PER_JOB),
        (media, store_key(spec, detector_digest=digest, is_crop=False), 1),
    ]
    jobs: list[FaceJob] = []
    num_reused = 0
    for items, key, batch_size in stores:
        known = FaceStore(settings.face_store_dir, key).index()
        missing = items[~items["media_id"].isin(known)]
        num_reused += len(items) - len(missing)
        jobs += _plan(missing, spec, key, batch_size, settings)
    _work_off(jobs, factory, settings)
    stored: dict[str, Path] = {}
    for _, key, _ in stores:
        stored |= FaceStore(settings.face_store_dir, key).index()
    return stored, num_reused


def _by_kind(manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    # By file and member, so that each tar shard is read from front to back.
    ordered = manifest.sort_values(["path", "member", "media_id"], kind="stable")
    is_crop = ordered["kind"] == "crop"
    return ordered[is_crop], ordered[~is_crop]


def _plan(
    items: pd.DataFrame, spec: ExtractionSpec, key: str, batch_size: int, settings: Settings
) -> list[FaceJob]:
    job_items = [
        JobItem(media_id=row["media_id"], path=settings.data_dir / row["path"], member=row["member"])
        for row in to_rows(items)
    ]
    return [
        FaceJob(
            items=tuple(job_items[start : start + batch_size]),
            is_crop=batch_size > 1,
            store_dir=settings.face_store_dir,
            store_key=key,
            spec=spec,
            budget=MediaBudget(),
        )
        for start in range(0, len(job_items), batch_size)
    ]


def _work_off(jobs: list[FaceJob], factory: DetectorFactory, settings: Settings) -> None:
    # A GPU is shared badly by several processes; there one worker feeds it.
    num_workers = 1 if settings.device == "cuda" else len(os.sched_getaffinity(0))
    done = run_jobs(jobs, factory, num_workers=num_workers)
    for _ in track(done, description="extract", total=len(jobs), unit="batch"):
        pass


def _record(summary: Summary, rows: list[dict[str, Any]], settings: Settings) -> None:
    """Bring the quarantine up to date: items without a face are in, items that have one now are out."""
    ledger = Quarantine(settings.quarantine_db)
    found = {row["media_id"] for row in rows} - {item.media_id for item in summary.empty}
    for entry in ledger.list():
        refusal = entry.refusal
        if refusal.media_id in found and refusal.reason not in _NAME_REASONS:
            ledger.release([(refusal.source, refusal.original_name)], reason=refusal.reason)
    ledger.add(_refusal(item, settings) for item in summary.empty)


def _refusal(item: EmptyItem, settings: Settings) -> Refusal:
    return Refusal(
        source=item.source,
        original_name=item.original_name,
        reason=item.reason,
        message=item.message,
        path=str(settings.data_dir / item.path),
        media_id=item.media_id,
    )
