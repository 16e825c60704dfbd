"""An extraction for kill tests: real in all but its detector, which writes down every picture it is shown."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.faces.types import Detection
from deepfakestream.media.types import RGBImage
from deepfakestream.pipeline import extract
from deepfakestream.settings import Settings

PARAMS = ExtractParams(
    detector="retinaface_mnet025",
    num_frames=2,
    min_face_px=10,
    min_score=0.8,
    max_faces_per_frame=8,
    crop_scale=0.85,
    crop_size_px=32,
    shard_size=8,
)
SECONDS_A_PICTURE = 0.02


class NotingDetector:
    """Finds one face a picture; where, its pixels say. None in dark ones; a black one ends its process."""

    name = "noting"
    digest = "0" * 64

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        return [self._find(image) for image in images]

    def _find(self, image: RGBImage) -> list[Detection]:
        handle = os.open(self._notes, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(handle, (sha256(image.tobytes()).hexdigest() + "\n").encode())
        os.close(handle)
        time.sleep(SECONDS_A_PICTURE)
        level = float(image.mean())
        if level == 0:
            os._exit(3)  # as a decoder does that crashes
        if level < 60:
            return []
        left = level % 16
        return [
            Detection(
                box_xyxy=(left, 4.0, left + 24.0, 40.0),
                landmarks_xy=np.linspace(left + 4, 30, 10, dtype=np.float32).reshape(5, 2),
                score=0.9,
            )
        ]


def open_noting(notes: Path) -> NotingDetector:
    """Open the detector in the process that uses it."""
    return NotingDetector(notes)


def extract_as_leader(workspace: Path, notes: Path, executor: str) -> None:
    """Extract, in a process group of its own, so that its workers can be counted."""
    os.setsid()
    os.chdir(workspace)
    settings = Settings(workspace=Path(), device="cpu", executor=executor, num_workers=2)
    extract.run(PARAMS, settings=settings, detector_factory=partial(open_noting, notes))
