"""Processor time of face detection by frame size, as ratios within one run: `make bench`."""

from __future__ import annotations

import statistics
import sys
import time

import cv2
import numpy as np
import pytest
import skimage.data

from deepfakestream.faces.retinaface_mnet025 import open_mnet025

SIZES = {"640 x 360": (640, 360), "1280 x 720": (1280, 720), "1920 x 1080": (1920, 1080)}
BATCH = 4
REPEATS = 9


def ms_per_frame(detector, frame):
    frames = [frame] * BATCH
    detector.detect(frames)
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        detector.detect(frames)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds) * 1000 / BATCH


@pytest.mark.bench
def test_detector_speed_by_frame_size():
    detector = open_mnet025(num_threads=1)
    face = skimage.data.astronaut()[:288]
    measured = {name: ms_per_frame(detector, cv2.resize(face, size)) for name, size in SIZES.items()}
    nobody = np.full((1080, 1920, 3), 120, dtype=np.uint8)
    measured["1920 x 1080, no face"] = ms_per_frame(detector, nobody)
    base = measured["640 x 360"]
    lines = ["", "RetinaFace MobileNet-0.25 on one thread, pre- and post-processing included"]
    for name, ms in measured.items():
        lines.append(
            f"{name:>20}: {ms:6.1f} ms of processor time a frame, {ms / base:4.2f} times the smallest"
        )
    sys.stdout.write("\n".join(lines) + "\n")
    assert measured["1920 x 1080"] < 4 * base
