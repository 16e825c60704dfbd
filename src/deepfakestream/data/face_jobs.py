"""Face extraction as jobs for a process pool; each job commits its own batch to the face store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from deepfakestream.data.crop_store import encode_image
from deepfakestream.data.face_store import FaceStore, StoredFaces, face_record
from deepfakestream.data.packs import as_file
from deepfakestream.errors import MediaError, Reason
from deepfakestream.faces.extraction import extract_faces, whole_image_as_face
from deepfakestream.faces.types import ExtractedFaces, ExtractionSpec, FaceDetector
from deepfakestream.media.types import MediaBudget

DetectorFactory = Callable[[], FaceDetector]
"""Opens the detector in the process that uses it; picklable."""

_EXIF_ORIENTATION = 0x0112


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
    jobs: Sequence[FaceJob], open_detector: DetectorFactory, *, num_workers: int
) -> Iterator[FaceJob]:
    """Work off jobs and yield each once its batch is in the store, in the order of completion.

    An item that ends its worker process (a decoder that crashes on a damaged file) is stored as unreadable;
    the jobs beside it are run again. With one worker everything runs in this process.
    """
    if num_workers <= 1 or len(jobs) == 1:
        _start_worker(open_detector)
        for job in jobs:
            run_job(job)
            yield job
        return
    waiting = deque(jobs)
    while waiting:
        suspects = yield from _run_until_broken(waiting, open_detector, num_workers)
        for job in suspects:
            _run_alone(job, open_detector)
            yield job


def _run_until_broken(
    waiting: deque[FaceJob], open_detector: DetectorFactory, num_workers: int
) -> Generator[FaceJob, None, list[FaceJob]]:
    """Take jobs from the queue until it is empty or a worker dies; return the jobs that may be why."""
    running: dict[Future[None], FaceJob] = {}
    with _pool(open_detector, num_workers) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < 2 * num_workers:
                    future = pool.submit(run_job, waiting[0])
                    running[future] = waiting.popleft()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    yield running.pop(future)
        except BrokenProcessPool:
            return list(running.values())
    return []


def _run_alone(job: FaceJob, open_detector: DetectorFactory) -> None:
    """Run one job in a process of its own; where that dies, its items one by one."""
    with _pool(open_detector, 1) as pool:
        try:
            pool.submit(run_job, job).result()
            return
        except BrokenProcessPool:
            pass
    if len(job.items) > 1:
        for item in job.items:
            _run_alone(replace(job, items=(item,)), open_detector)
        return
    crashed = StoredFaces(
        media_id=job.items[0].media_id,
        num_frames=0,
        notes=(Reason.UNREADABLE,),
        message="decoding it ended the worker process; re-encode the file",
    )
    FaceStore(job.store_dir, job.store_key).commit([crashed])


def _pool(open_detector: DetectorFactory, num_workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: ONNX Runtime and PyAV do not survive a fork of their threads.
    return ProcessPoolExecutor(
        max_workers=num_workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(open_detector,),
    )


class _Worker:
    """The detector of this process, opened when the first medium needs it (face crops never do)."""

    def __init__(self, open_detector: DetectorFactory) -> None:
        self._open_detector = open_detector
        self._detector: FaceDetector | None = None

    @property
    def detector(self) -> FaceDetector:
        if self._detector is None:
            self._detector = self._open_detector()
        return self._detector


_worker: _Worker | None = None


def _start_worker(open_detector: DetectorFactory) -> None:
    global _worker  # a pool's initializer has no other way to hand something to its tasks
    _worker = _Worker(open_detector)


def run_job(job: FaceJob) -> None:
    """Extract the faces of a job's items in this process and commit them together."""
    FaceStore(job.store_dir, job.store_key).commit([_extract(item, job) for item in job.items])


def _extract(item: JobItem, job: FaceJob) -> StoredFaces:
    assert _worker is not None, "the pool's initializer ran"
    try:
        with as_file(item.path, item.member) as path:
            if job.is_crop:
                found = whole_image_as_face(path, job.spec, job.budget)
            else:
                found = extract_faces(path, _worker.detector, job.spec, job.budget)
            own_bytes = _jpeg_of_size(path, job.spec.crop_size_px) if job.is_crop else None
    except MediaError as error:
        return StoredFaces(media_id=item.media_id, num_frames=0, notes=(error.reason,), message=str(error))
    return _stored(item.media_id, found, own_bytes)


def _stored(media_id: str, found: ExtractedFaces, own_bytes: bytes | None) -> StoredFaces:
    faces = tuple(face_record(crop, own_bytes or encode_image(crop.rgb)) for crop in found.crops)
    return StoredFaces(media_id=media_id, num_frames=found.num_frames, notes=found.notes, faces=faces)


def _jpeg_of_size(path: Path, size_px: int) -> bytes | None:
    """Return the file's bytes where they are an upright RGB JPEG of the crop's size, else None."""
    with Image.open(path) as image:
        fits = image.format == "JPEG" and image.size == (size_px, size_px) and image.mode == "RGB"
        upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
    return path.read_bytes() if fits and upright else None
