"""RetinaFace, MTCNN and a Haar cascade on the same frames: time, faces found, false faces; `make bench`.

OpenCV 5 has no cascade classifier any more, so OpenCV 4 runs next to it in a process of its own:

    pip install --no-deps --target FOLDER "opencv-python-headless<5"
    BENCH_OPENCV4=FOLDER pytest tests/bench/test_detector_comparison.py -m bench -s
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

import cv2
import pytest
import skimage.data
import torch

from deepfakestream.errors import MediaError
from deepfakestream.faces import retinaface_r50
from deepfakestream.faces.boxes import iou, longer_side
from deepfakestream.faces.mtcnn import open_mtcnn
from deepfakestream.faces.retinaface_mnet025 import open_mnet025
from deepfakestream.media.find import find_media
from deepfakestream.media.reader import sample_frames

SIZES = {"640 x 360": (640, 360), "1280 x 720": (1280, 720), "1920 x 1080": (1920, 1080)}
ROUNDS = 5
NUM_FRAMES = 4
MIN_SCORE = 0.8
SAME_FACE_IOU = 0.3
FOLDER_VARIABLE = "BENCH_OPENCV4"
CHILD = """
import json, sys, time
import cv2, numpy as np
cv2.setNumThreads(1)
cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
while shape := sys.stdin.buffer.readline():
    shape = json.loads(shape)
    rgb = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
    start = time.process_time()
    least = max(20, max(rgb.shape[:2]) // 48)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    seconds = time.process_time() - start
    boxes = [[int(x), int(y), int(x + w), int(y + h)] for x, y, w, h in found]
    print(json.dumps({"seconds": seconds, "boxes": boxes}), flush=True)
"""


class HaarCascade:
    """Finds frontal faces (Viola and Jones, CVPR 2001); no landmarks, no scores: no `FaceDetector`."""

    def __init__(self):
        environment = os.environ | {"PYTHONPATH": os.environ[FOLDER_VARIABLE]}
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=pipe, stdout=pipe, env=environment
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._child.stdin.close()
        self._child.wait(timeout=10)
        self._child.stdout.close()

    def find(self, rgb):
        """Return the boxes and the processor time in seconds."""
        self._child.stdin.write(json.dumps(rgb.shape).encode() + b"\n" + rgb.tobytes())
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        return [tuple(box) for box in answer["boxes"]], answer["seconds"]


def show(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def finder(detector):
    """Return a function from a picture to its sure boxes and the processor time in seconds."""

    def find(rgb):
        start = time.process_time()
        (faces,) = detector.detect([rgb])
        seconds = time.process_time() - start
        return [face.box_xyxy for face in faces if face.score >= MIN_SCORE], seconds

    return find


@pytest.fixture
def finders():
    """Functions from a picture to boxes and seconds, by name; Haar where OpenCV 4 is at hand."""
    found = {"RetinaFace mnet0.25": finder(open_mnet025()), "MTCNN": finder(open_mtcnn())}
    with ExitStack() as stack:
        if FOLDER_VARIABLE in os.environ:
            found["Haar (OpenCV 4)"] = stack.enter_context(HaarCascade()).find
        else:
            show(f"\nwithout the Haar cascade: {FOLDER_VARIABLE} is not set, see bench/haar_cascade.py")
        yield found


@pytest.fixture
def random_r50():
    """The first look of a ResNet-50 with random weights: right for its time, useless for its faces."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = retinaface_r50._build()
    state = {name: torch.ones(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(state, assign=True)
    for layer in network.parameters():
        torch.nn.init.normal_(layer, std=0.02)
    detector = retinaface_r50.RetinaFace(
        "r50", "0" * 64, retinaface_r50._ResNet50(network, torch.device("cpu"))
    )

    def find(rgb):
        start = time.process_time()
        detector._look([rgb], 640)
        return [], time.process_time() - start

    yield find
    torch.set_num_threads(threads)


@pytest.mark.bench
def test_time_by_frame_size(finders, random_r50):
    """Rounds go through all detectors and sizes in turn, so that a busy machine slows all of them."""
    face = skimage.data.astronaut()[:288]
    frames = {name: cv2.resize(face, size) for name, size in SIZES.items()}
    seconds = {(who, size): [] for who in finders for size in frames} | {("R50", "640 x 360"): []}
    for _ in range(ROUNDS + 1):
        for (who, size), values in seconds.items():
            values.append((finders | {"R50": random_r50})[who](frames[size])[1])
    show("\nms of processor time a frame on one thread, and over RetinaFace mnet0.25")
    ms = {key: 1000 * statistics.median(values[1:]) for key, values in seconds.items()}
    for (who, size), value in ms.items():
        show(f"{who:>20} {size:>12}: {value:8.1f}  {value / ms['RetinaFace mnet0.25', size]:6.2f}")
    assert ms["RetinaFace mnet0.25", "640 x 360"] < ms["MTCNN", "640 x 360"] < ms["R50", "640 x 360"]


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(1800)
def test_faces_of_the_development_videos(devdata, budget, finders):
    """The subject is the face that RetinaFace finds largest; that it is one was checked by eye."""
    hits = {who: [] for who in finders}
    extra, sides = dict.fromkeys(finders, 0), {who: [] for who in finders}
    show(f"\nshare of {NUM_FRAMES} frames with the subject's face: {', '.join(finders)}")
    for path in sorted((devdata / "videos").glob("*/*.mp4")):
        if path.parent.name == "unlabelled":
            continue
        frames = [frame.rgb for frame in sample_frames(path, num_frames=NUM_FRAMES, budget=budget).frames]
        everything = {who: [find(rgb)[0] for rgb in frames] for who, find in finders.items()}
        subjects = [boxes[:1] for boxes in everything["RetinaFace mnet0.25"]]
        shares = []
        for who, found in everything.items():
            on = [
                [box for box in boxes if s and iou(box, s[0]) >= SAME_FACE_IOU]
                for boxes, s in zip(found, subjects, strict=True)
            ]
            shares.append(sum(map(bool, on)) / len(frames))
            hits[who].append(shares[-1])
            extra[who] += sum(len(boxes) - bool(o) for boxes, o in zip(found, on, strict=True))
            sides[who] += [
                longer_side(o[0]) / longer_side(s[0]) for o, s in zip(on, subjects, strict=True) if o
            ]
        show(f"{path.parent.name + '/' + path.name:>24}: " + "  ".join(f"{share:.2f}" for share in shares))
    for who in finders:
        show(
            f"{who:>20}: mean share {statistics.mean(hits[who]):.3f}, other boxes {extra[who]} in "
            f"{NUM_FRAMES * len(hits[who])} frames, "
            f"longer box side {statistics.median(sides[who]):.3f} of RetinaFace's"
        )
    assert statistics.mean(hits["RetinaFace mnet0.25"]) > 0.99


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(1800)
def test_faces_of_the_odd_formats(devdata, budget, finders):
    paths = find_media([devdata / "odd-formats"])
    files = dict.fromkeys(finders, 0)
    shares = {who: [] for who in finders}
    readable = 0
    for path in paths:
        try:
            frames = [frame.rgb for frame in sample_frames(path, num_frames=2, budget=budget).frames]
        except MediaError:
            continue
        readable += 1
        for who, find in finders.items():
            found = [bool(find(rgb)[0]) for rgb in frames]
            files[who] += any(found)
            shares[who].append(statistics.mean(found))
    show(f"\n{len(paths)} files, {readable} readable; files with a face, mean share of frames with one")
    for who in finders:
        show(f"{who:>20}: {files[who]}, {statistics.mean(shares[who]):.3f}")
    assert files["RetinaFace mnet0.25"] >= readable - 4
