"""Faces that stand again after their picture was turned, on the development data: `make bench`."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from deepfakestream.faces.pose import head_pose
from deepfakestream.faces.upright import quarter_turns_to_upright
from deepfakestream.media.reader import sample_frames

NUM_PEOPLE = 100
MIN_SCORE = 0.8


def frames(folder, budget):
    for path in sorted(folder.glob("*.mp4")):
        yield from (frame.rgb for frame in sample_frames(path, num_frames=2, budget=budget).frames)


def judge(pictures, detector, turns):
    """Return how many faces are found in the turned pictures, and right by landmarks and by the network."""
    found, by_landmarks, by_network = 0, 0, 0
    for picture in pictures:
        turned = np.ascontiguousarray(np.rot90(picture, -turns))
        face = next((face for face in detector.detect([turned])[0] if face.score >= MIN_SCORE), None)
        if face is None:
            continue
        pose = head_pose(face.landmarks_xy)
        assumed = pose.quarter_turns if pose else 0
        found += 1
        by_landmarks += assumed == turns
        by_network += quarter_turns_to_upright(turned, face.box_xyxy, assumed=assumed) == turns
    return found, by_landmarks, by_network


@pytest.mark.bench
@pytest.mark.devdata
@pytest.mark.timeout(1800)
def test_turned_faces_stand_again(devdata, detector, budget, pictures_of):
    videos, people = devdata / "videos", devdata / "portraits"
    sets = {
        "frames of clips": [*frames(videos / "real", budget), *frames(videos / "fake", budget)],
        "whole portraits": pictures_of(people / "ffhq-256.tar", count=NUM_PEOPLE),
        "press portraits": pictures_of(people / "lfw-150.tar", count=NUM_PEOPLE),
    }
    for name, pictures in sets.items():
        for turns in range(4):
            found, by_landmarks, by_network = judge(pictures, detector, turns)
            sys.stdout.write(
                f"{name}, turned {turns} times: {found} of {len(pictures)} found, right by landmarks "
                f"{by_landmarks}, by the network {by_network}\n"
            )
            assert by_network >= 0.9 * found


@pytest.mark.bench
@pytest.mark.devdata
def test_cost_beside_detection(devdata, detector, budget):
    """Finding the faces of a frame, and asking which way up they are, take turns in one run."""
    asking_s, finding_s = [], []
    for picture in frames(devdata / "videos" / "real", budget):
        started = time.perf_counter()
        (faces,) = detector.detect([picture])
        found = time.perf_counter()
        for face in faces:
            quarter_turns_to_upright(picture, face.box_xyxy, assumed=0)
        finding_s.append(found - started)
        asking_s.append(time.perf_counter() - found)
    ratio = float(np.median(asking_s) / np.median(finding_s))
    sys.stdout.write(f"asking takes {ratio:.2f} of the time of finding\n")
    assert ratio < 0.5
