"""Looking at the dataset: its numbers, its pictures, its data card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.card.card import manifest_part, write_card
from deepfakestream.data.card.plots import draw_set
from deepfakestream.data.card.statistics import Extracted, SetStatistics, measure_set
from deepfakestream.data.crop_store import TABLE_FILE, read_crop_table
from deepfakestream.data.extraction.crop_assembly import SUMMARY_FILE
from deepfakestream.data.validation.report import REPORT_FILE
from deepfakestream.data.versioning.named_data import read_named_items
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.whole_files import replacing
from deepfakestream.settings import Settings


def statistics(settings: Settings) -> SetStatistics:
    """Return the numbers of the dataset, with those of its faces where they have been extracted.

    Raises:
        DataError: nothing has been ingested, `data/` is not what `data.dvc` says, or a table or the summary
            of extraction is damaged.
    """
    return measure_set(*_tables(settings))


def write_plots(directory: Path, *, settings: Settings) -> list[Path]:
    """Write the pictures of the dataset into a folder and return their paths.

    Args:
        directory: folder to write to.
        settings: of the workspace.

    Raises:
        DataError: nothing has been ingested, `data/` is not what `data.dvc` says, or a table or the summary
            of extraction is damaged.
    """
    written = []
    for name, picture in draw_set(*_tables(settings)).items():
        path = directory / f"{name}.png"
        with replacing(path) as partial:
            partial.write_bytes(picture)
        written.append(path)
    return written


def card(directory: Path, *, settings: Settings) -> Path:
    """Write the data card and its pictures into a folder and return the page's path.

    Args:
        directory: folder to write to.
        settings: of the workspace.

    Raises:
        DataError: nothing has been ingested, `data/` is not what `data.dvc` says, or a table, the summary of
            extraction or the report of validation is damaged.
    """
    manifest, extracted = _tables(settings)
    return write_card(
        directory,
        manifest=manifest,
        extracted=extracted,
        validation_report=_gate_report(settings),
        data_digest=DvcRepo(settings.workspace).data_digest(),
    )


def card_text(settings: Settings) -> str:
    """Return the part of the data card that the manifest alone tells, as Markdown without pictures.

    Raises:
        DataError: nothing has been ingested, `data/` is not what `data.dvc` says, or the manifest is damaged.
    """
    manifest = read_named_items(settings.workspace, settings.data_dir)
    return manifest_part(manifest, data_digest=DvcRepo(settings.workspace).data_digest())


def _tables(settings: Settings) -> tuple[pd.DataFrame, Extracted | None]:
    manifest = read_named_items(settings.workspace, settings.data_dir)
    extract_dir = settings.extract_dir
    if not (extract_dir / TABLE_FILE).exists():
        return manifest, None
    return manifest, Extracted(crops=read_crop_table(extract_dir), empty=_empty_items(extract_dir))


def _empty_items(extract_dir: Path) -> frozenset[str]:
    path = extract_dir / SUMMARY_FILE
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(item["media_id"] for item in summary["empty"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: does not say which items have no face ({error}); run 'dvc repro --force extract'"
        ) from error


def _gate_report(settings: Settings) -> dict[str, Any] | None:
    path = settings.validate_dir / REPORT_FILE
    if not path.exists():
        return None
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); run 'dvc repro --force validate'") from error
    return report
