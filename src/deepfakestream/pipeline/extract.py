"""The step extract: items of `data/` become face crops in `artifacts/extract`, by way of the face store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepfakestream import wiring
from deepfakestream.data.extraction.crop_assembly import EmptyItem, Summary, assemble
from deepfakestream.data.extraction.face_filling import fill_store
from deepfakestream.data.extraction.face_jobs import DetectorFactory
from deepfakestream.data.extraction.face_store import read_stored
from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.data.manifest import read_manifest, to_rows
from deepfakestream.data.quarantine import GATE_REASONS, NAME_REASONS, Quarantine, Refusal
from deepfakestream.data.versioning.named_data import read_named_items
from deepfakestream.errors import DataError
from deepfakestream.faces.types import ExtractionSpec
from deepfakestream.host.counted import counted
from deepfakestream.settings import Settings

ROWS_AT_ONCE = 1024


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
            f"extracted {counted(self.num_crops, 'face crop')} from {counted(self.num_items, 'item')} "
            f"in {self.seconds:.1f} s: "
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
        DataError: nothing has been ingested, no item has a face, or the dataset changed or is not the one
            that `data.dvc` names.
        WeightsError: the detector's weights are missing or have another digest.
    """
    started = time.monotonic()
    manifest = read_named_items(settings.workspace, settings.data_dir)
    spec = params.spec
    stored, num_reused = stored_faces(manifest, spec, settings=settings, detector_factory=detector_factory)
    summary = assemble(
        settings.extract_dir,
        (
            (row, read_stored(stored[row["media_id"]], row["media_id"]))
            for start in range(0, len(manifest), ROWS_AT_ONCE)
            for row in to_rows(manifest.iloc[start : start + ROWS_AT_ONCE])
        ),
        shard_size=params.shard_size,
        spec=spec,
    )
    if not read_manifest(settings.data_dir).equals(manifest):
        # DVC looks at data/ after the stage and would take the new items for extracted.
        raise DataError(
            f"{settings.data_dir}: items were added or taken away while faces were extracted; extract again, "
            "what is done is kept"
        )
    _record(summary, manifest, settings)
    if summary.num_crops == 0:
        raise DataError(
            f"{settings.data_dir}: no usable face in any of {len(manifest)} items; "
            "lower extract.min_score or extract.min_face_px in params.yaml, or ingest media that show faces"
        )
    return ExtractReport(
        num_items=summary.num_items,
        num_crops=summary.num_crops,
        num_without_face=len(summary.without_face),
        num_unreadable=len(summary.unreadable),
        num_reused=num_reused,
        seconds=time.monotonic() - started,
    )


def stored_faces(
    items: pd.DataFrame,
    spec: ExtractionSpec,
    *,
    settings: Settings,
    detector_factory: DetectorFactory | None = None,
) -> tuple[dict[str, Path], int]:
    """Extract the items that the face store lacks; return the file of each and how many were there before.

    Args:
        items: rows of the manifest.
        spec: how faces are found and cut out.
        settings: where things are.
        detector_factory: opens the detector in each worker; default: the one that the spec names.

    Raises:
        DataError: another process is extracting, or a file is missing.
        WeightsError: the detector's weights are missing or have another digest.
    """
    return fill_store(
        items,
        spec,
        detector_factory or wiring.detector_factory(settings, spec.detector),
        data_dir=settings.data_dir,
        store_dir=settings.face_store_dir,
        executor=wiring.extraction_executor(settings),
    )


def _record(summary: Summary, manifest: pd.DataFrame, settings: Settings) -> None:
    """Bring the quarantine up to date: items without a face are in, items that have one now are out."""
    ledger = Quarantine(settings.quarantine_db)
    found = set(manifest["media_id"]) - {item.media_id for item in summary.empty}
    for entry in ledger.list():
        refusal = entry.refusal
        if refusal.media_id in found and refusal.reason not in (*NAME_REASONS, *GATE_REASONS):
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
