from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.crop_store import decode_image
from deepfakestream.data.extraction.executors import Executor
from deepfakestream.data.extraction.executors.base import ThisProcess
from deepfakestream.data.extraction.executors.process_pool import ProcessPool
from deepfakestream.data.extraction.face_jobs import FaceJob, JobItem, run_jobs
from deepfakestream.data.extraction.face_store import FaceStore, StoredFaces, read_stored, store_key
from deepfakestream.errors import Reason
from deepfakestream.faces.detectors import open_detector
from deepfakestream.faces.types import ExtractionSpec, FaceDetector
from deepfakestream.media.types import MediaBudget

MNET = partial(open_detector, "retinaface_mnet025", weights=None, device="cpu")
DIES = partial(os._exit, 3)
"""A detector that ends its process as soon as it is opened: what a crashing decoder does."""


def never_opened() -> FaceDetector:
    raise AssertionError("face crops need no detector")


@pytest.fixture
def crop_job(tmp_path: Path, extraction_spec: ExtractionSpec) -> FaceJob:
    return FaceJob(
        items=(),
        is_crop=True,
        store_dir=tmp_path / "facestore",
        store_key="crop",
        spec=replace(extraction_spec, crop_size_px=64),
        budget=MediaBudget(),
    )


def item(path: Path, media_id: str, member: str | None = None) -> JobItem:
    return JobItem(media_id=media_id, path=path, member=member)


def run(
    *jobs: FaceJob, executor: Executor | None = None, factory: Callable[[], FaceDetector] = never_opened
) -> None:
    jobs[0].store_dir.mkdir(exist_ok=True)
    done = list(run_jobs(jobs, factory, executor or ThisProcess()))
    assert sorted(job.items[0].media_id for job in done) == sorted(job.items[0].media_id for job in jobs)


def stored(job: FaceJob, media_id: str) -> StoredFaces:
    return read_stored(FaceStore(job.store_dir, job.store_key).index()[media_id], media_id)


def test_a_crop_of_the_right_size_keeps_its_own_bytes(
    tmp_path: Path, crop_job: FaceJob, write_picture: Callable[..., Path]
) -> None:
    fits, too_large = write_picture(tmp_path / "a.jpg", shade=0), tmp_path / "b.jpg"
    write_picture(too_large, shade=0, size_px=100)
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(fits, "a")
    run(replace(crop_job, items=(item(tmp_path / "s.tar", "a", "a"), item(too_large, "b"))))
    (own,), (resized,) = stored(crop_job, "a").faces, stored(crop_job, "b").faces
    assert own["image"] == fits.read_bytes()
    assert resized["image"].startswith(b"\x89PNG")
    assert decode_image(resized["image"], name="b").shape == (64, 64, 3)
    assert own["luma"] == pytest.approx(np.asarray(Image.open(fits).convert("L")).mean(), abs=2)


@pytest.mark.parametrize("change", ["png", "turned", "grey"])
def test_other_crops_are_stored_without_loss(
    change: str, tmp_path: Path, crop_job: FaceJob, write_picture: Callable[..., Path]
) -> None:
    picture = Image.open(write_picture(tmp_path / "a.jpg", shade=0))
    path = tmp_path / ("b.png" if change == "png" else "b.jpg")
    exif = Image.Exif()
    exif[0x0112] = 3 if change == "turned" else 1
    (picture.convert("L") if change == "grey" else picture).save(path, quality=95, exif=exif)
    run(replace(crop_job, items=(item(path, "b"),)))
    (face,) = stored(crop_job, "b").faces
    assert face["image"].startswith(b"\x89PNG")


def test_a_bad_item_fails_alone(
    tmp_path: Path, crop_job: FaceJob, write_picture: Callable[..., Path]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    good = write_picture(tmp_path / "a.jpg", shade=0)
    run(replace(crop_job, items=(item(tmp_path / "bad.jpg", "bad"), item(good, "good"))))
    assert stored(crop_job, "bad").notes == (Reason.EMPTY_FILE,)
    assert "empty" in stored(crop_job, "bad").message
    assert len(stored(crop_job, "good").faces) == 1


@pytest.mark.slow
def test_a_worker_that_dies_takes_only_its_item_along(
    tmp_path: Path, crop_job: FaceJob, write_picture: Callable[..., Path], face_clip: Path
) -> None:
    crops = [
        replace(crop_job, items=(item(write_picture(tmp_path / f"{i}.jpg", shade=i), f"crop{i}"),))
        for i in range(3)
    ]
    clip = replace(crop_job, is_crop=False, store_key="media", items=(item(face_clip, "clip"),))
    run(clip, *crops, executor=ProcessPool(2), factory=DIES)
    assert stored(clip, "clip").notes == (Reason.UNREADABLE,)
    assert "ended the worker process" in stored(clip, "clip").message
    for job in crops:
        assert len(stored(job, job.items[0].media_id).faces) == 1


def test_the_pool_finds_what_one_process_finds(
    tmp_path: Path, crop_job: FaceJob, face_clip: Path, astronaut_jpg: Path
) -> None:
    for folder, executor in (("one", ThisProcess()), ("two", ProcessPool(2))):
        job = replace(crop_job, is_crop=False, store_key=folder, spec=replace(crop_job.spec, num_frames=3))
        jobs = [replace(job, items=(item(path, path.name),)) for path in (face_clip, astronaut_jpg)]
        run(*jobs, executor=executor, factory=MNET)
    for name, num_faces in ((face_clip.name, 3), (astronaut_jpg.name, 1)):
        one, two = (stored(replace(crop_job, store_key=key), name) for key in ("one", "two"))
        assert one == two
        assert len(one.faces) == num_faces


def test_the_key_holds_what_decides_the_pixels(extraction_spec: ExtractionSpec) -> None:
    def key(spec: ExtractionSpec, digest: str = "d", *, is_crop: bool = False) -> str:
        return store_key(spec, detector_digest=digest, is_crop=is_crop)

    more_frames = replace(extraction_spec, num_frames=9)
    larger = replace(extraction_spec, crop_size_px=256)
    assert len({key(extraction_spec), key(extraction_spec, "e"), key(more_frames), key(larger)}) == 4
    assert key(extraction_spec, is_crop=True) == key(more_frames, "e", is_crop=True)
    assert key(extraction_spec, is_crop=True) != key(larger, is_crop=True)
