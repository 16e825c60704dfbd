"""The step from-feedback: files whose true label people gave to the service become labelled data.

The service keeps images and videos only for a while. So files are looked for by their sha256: among the media
that are still kept, and in a folder that the caller names.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from deepfakestream.data.ingestion.params import IngestParams
from deepfakestream.data.manifest import read_manifest_or_empty
from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.host.digest import sha256_file
from deepfakestream.host.locks import in_turn
from deepfakestream.host.text_table import text_table
from deepfakestream.jobs.feedback import Feedback, Label, read_all_feedback
from deepfakestream.jobs.media_store import MEDIA, FolderStore
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.monitoring.prediction_log import LoggedPrediction, PredictionLog
from deepfakestream.pipeline import ingest
from deepfakestream.settings import Settings

SOURCE_NAME = "feedback"
NUM_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFile:
    """One file whose label people agree on."""

    sha256: str
    label: Label
    verdict: str
    """Of the newest prediction on it."""
    p_fake: float | None
    sources: tuple[str, ...]
    """Who gave the label."""
    note: str
    path: Path | None
    """Where its bytes are; None: nowhere that was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPlan:
    """What can be ingested, and what cannot."""

    files: tuple[LabelledFile, ...]
    """Files with their bytes that the dataset does not have yet."""
    num_known: int
    """Files that the dataset has already."""
    not_found: tuple[LabelledFile, ...]
    disputed: tuple[str, ...]
    """sha256 of files that people label differently."""
    num_unlogged: int
    """Predictions that the log does not know, or that had no readable file."""

    def describe(self) -> str:
        """Return a table to review, and what is left out and why."""
        rows = [
            (each.sha256[:12], each.label, each.verdict, each.p_fake and f"{each.p_fake:.2f}",
             ", ".join(each.sources), each.note)
            for each in self.files[:NUM_SHOWN]
        ]  # fmt: skip
        lines = []
        if rows:
            lines += text_table(["file", "label", "verdict", "p_fake", "labelled by", "note"], rows)
        if len(self.files) > NUM_SHOWN:
            lines.append(f"... and {len(self.files) - NUM_SHOWN} more")
        num_fake = sum(each.label == "fake" for each in self.files)
        num_real = len(self.files) - num_fake
        lines.append(f"to ingest: {counted(len(self.files), 'file')} ({num_real} real, {num_fake} fake)")
        if self.num_known:
            lines.append(f"in the dataset already: {self.num_known}")
        if self.disputed:
            lines.append(f"left out, labelled differently by several people: {len(self.disputed)}")
        if self.not_found:
            lines.append(
                f"left out, bytes not found: {len(self.not_found)}; name a folder that has them with --media"
            )
        if self.num_unlogged:
            lines.append(f"left out, the prediction is not in the log or had no file: {self.num_unlogged}")
        return "\n".join(lines)


def plan(settings: Settings, media: Path | None = None) -> FeedbackPlan:
    """Return which labelled files can be ingested.

    Args:
        settings: of the workspace.
        media: folder that may hold the files, under any names, at any depth.

    Raises:
        DataError: the folder does not exist, or a store cannot be used.
    """
    if media is not None and not media.is_dir():
        raise DataError(f"{media}: is no folder; name one that holds files that were sent to the service")
    labelled, disputed, num_unlogged = _labelled_files(settings)
    known = set(read_manifest_or_empty(settings.data_dir)["media_id"].astype(str))
    new = {sha256: each for sha256, each in labelled.items() if sha256 not in known}
    places = {sha256: each.path for sha256, each in new.items() if each.path is not None}
    for path in sorted(media.rglob("*")) if media is not None else ():
        if len(places) == len(new):
            break
        if path.is_file() and (digest := sha256_file(path)) in new:
            places.setdefault(digest, path)
    return FeedbackPlan(
        files=tuple(replace(each, path=places[sha256]) for sha256, each in new.items() if sha256 in places),
        num_known=len(labelled) - len(new),
        not_found=tuple(each for sha256, each in new.items() if sha256 not in places),
        disputed=tuple(disputed),
        num_unlogged=num_unlogged,
    )


def run(
    found: FeedbackPlan, *, params: IngestParams, settings: Settings, licence: str = "not stated"
) -> ingest.IngestReport:
    """Ingest the files of a plan as the source `feedback`.

    Args:
        found: from `plan`.
        params: section `ingest`.
        settings: of the workspace.
        licence: note that is kept with every item.

    Raises:
        DataError: as `ingest.run`.
    """
    with _staged(found.files, settings.work_dir / SOURCE_NAME) as folder:
        request = ingest.IngestRequest(layout="manifest", name=SOURCE_NAME, licence=licence)
        return ingest.run(folder, params=params, settings=settings, request=request)


def _labelled_files(settings: Settings) -> tuple[dict[str, LabelledFile], list[str], int]:
    """Return files with one label by sha256, those with two, and the number of predictions without file."""
    database = open_job_store(settings.job_database_url)
    try:
        given = read_all_feedback(database)
    finally:
        database.close()
    store = FolderStore(settings.job_media_dir)
    by_file: dict[str, list[tuple[Feedback, LoggedPrediction]]] = {}
    num_unlogged = 0
    with PredictionLog(settings.prediction_database_url) as log:
        for each in given:
            answer = log.find(each.prediction_id)
            if answer is None or not answer.media_sha256:
                num_unlogged += 1
                continue
            by_file.setdefault(answer.media_sha256, []).append((each, answer))
    files, disputed = {}, []
    for sha256, rows in by_file.items():
        labels = {row.label for row, _ in rows}
        if len(labels) > 1:
            disputed.append(sha256)
            continue
        answer = rows[-1][1]
        files[sha256] = LabelledFile(
            sha256=sha256,
            label=labels.pop(),
            verdict=answer.verdict,
            p_fake=answer.p_fake,
            sources=tuple(sorted({row.source for row, _ in rows})),
            note="; ".join(dict.fromkeys(row.note for row, _ in rows if row.note)),
            path=_kept(store, [row.prediction_id for row, _ in rows], sha256),
        )
    return files, disputed, num_unlogged


def _kept(store: FolderStore, prediction_ids: list[str], sha256: str) -> Path | None:
    """Return where the media of one of these jobs still are, or None."""
    for prediction_id in prediction_ids:
        with suppress(FileNotFoundError), store.media(prediction_id) as path:
            if sha256_file(path) == sha256:
                return path
    return None


@contextmanager
def _staged(files: tuple[LabelledFile, ...], folder: Path) -> Iterator[Path]:
    """Give a folder with files and manifest; removed afterwards, where that was killed by the next call."""
    with in_turn(folder.with_suffix(".lock"), notice="feedback is being ingested; waiting for it"):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            (folder / MEDIA).mkdir(mode=0o700, parents=True)
            with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(("file", "label"))
                for each in files:
                    assert each.path is not None
                    name = f"{MEDIA}/{each.sha256}"
                    with suppress(FileNotFoundError):  # its retention ended since
                        shutil.copyfile(each.path, folder / name)
                        writer.writerow((name, each.label))
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
