"""Face extraction as jobs for an executor; each job commits its own results to the face store."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ExifTags, Image

from deepfakestream.data.crop_store import encode_image
from deepfakestream.data.extraction.executors import Executor
from deepfakestream.data.extraction.face_store import FaceStore, StoredFaces, face_record
from deepfakestream.data.packs import as_file
from deepfakestream.errors import DataError, MediaError, Reason
from deepfakestream.faces.extraction import extract_faces, whole_image_as_face
from deepfakestream.faces.types import ExtractionSpec, FaceDetector
from deepfakestream.media.types import MediaBudget

DetectorFactory = Callable[[], FaceDetector]
"""Opens the detector in the process that uses it; picklable."""

MAX_UNSAVED_S = 1.0
"""A job of many items commits what it has after this time: a kill costs no more than this and one item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobItem:
    """One item of the manifest and where its bytes are."""

    media_id: str
    path: Path
    member: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceJob:
    """Items that are extracted and committed together."""

    items: tuple[JobItem, ...]
    is_crop: bool
    store_dir: Path
    store_key: str
    spec: ExtractionSpec
    budget: MediaBudget


def run_jobs(
    jobs: Iterable[FaceJob], open_detector: DetectorFactory, executor: Executor
) -> Generator[FaceJob, None, None]:
    """Work off jobs and yield each once its results are in the store, in the order of completion.

    An item that ends its worker process (a decoder that crashes on a damaged file) is stored as unreadable. A
    job of several items that does so is yielded as one job for each of them.

    Args:
        jobs: work off in any order.
        open_detector: opens the detector, in any process.
        executor: where they run.

    Raises:
        DataError: a file of the dataset is missing.
        WeightsError: the detector cannot be opened.
    """
    work = FaceWork(open_detector)
    pending = jobs
    while True:
        split: list[FaceJob] = []
        for outcome in executor.run(work, pending):
            job = outcome.job
            if outcome.crashed and len(job.items) > 1:
                split += [replace(job, items=(item,)) for item in job.items]
                continue
            if outcome.crashed:
                unreadable = StoredFaces(
                    media_id=job.items[0].media_id,
                    num_frames=0,
                    notes=(Reason.UNREADABLE,),
                    message="decoding it ended the worker process; re-encode the file",
                )
                FaceStore(job.store_dir, job.store_key).commit([unreadable])
            yield job
        if not split:
            return
        pending = split


class FaceWork:
    """What a worker does with a job; it opens the detector when the first medium needs it."""

    def __init__(self, open_detector: DetectorFactory) -> None:
        self._open_detector = open_detector
        self._detector: FaceDetector | None = None

    def __call__(self, job: FaceJob) -> None:
        """Extract the faces of a job's items and commit them, together unless that takes long.

        Raises:
            DataError: a file of the dataset, or the store, is not there.
            WeightsError: the detector cannot be opened.
        """
        if not job.store_dir.is_dir():
            raise DataError(
                f"{job.store_dir}: no such folder on {platform.node()}; "
                "all workers need the workspace under the same path, on shared storage"
            )
        store = FaceStore(job.store_dir, job.store_key)
        batch: list[StoredFaces] = []
        since = time.monotonic()
        for item in job.items:
            batch.append(self._extract(item, job))
            if time.monotonic() - since > MAX_UNSAVED_S:
                store.commit(batch)
                batch, since = [], time.monotonic()
        if batch:
            store.commit(batch)

    def _extract(self, item: JobItem, job: FaceJob) -> StoredFaces:
        own_bytes = None
        try:
            with as_file(item.path, item.member) as path:
                if job.is_crop:
                    found = whole_image_as_face(path, job.spec, job.budget)
                    with Image.open(path) as image:
                        fits = (
                            image.format == "JPEG"
                            and image.size == (job.spec.crop_size_px, job.spec.crop_size_px)
                            and image.mode == "RGB"
                        )
                        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
                    own_bytes = path.read_bytes() if fits and upright else None
                else:
                    if self._detector is None:
                        self._detector = self._open_detector()
                    opened = self._detector
                    found = extract_faces(path, opened, job.spec, job.budget)
        except MediaError as error:
            if error.reason == Reason.NOT_FOUND:
                raise DataError(
                    f"{item.path}: in the manifest but not there; fetch it with 'dvc pull'"
                ) from error
            return StoredFaces(
                media_id=item.media_id, num_frames=0, notes=(error.reason,), message=str(error)
            )
        faces = tuple(face_record(crop, own_bytes or encode_image(crop.rgb)) for crop in found.crops)
        return StoredFaces(
            media_id=item.media_id, num_frames=found.num_frames, notes=found.notes, faces=faces
        )
