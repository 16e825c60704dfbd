"""Which way up a face lies in its picture, and the same face as the detector sees it upright.

The detectors find faces that stand on their head or lie on their side, but place boxes worse and landmarks
often as if they stood. The last network of MTCNN (Zhang et al., "Joint face detection and alignment using
multi-task cascaded convolutional networks", IEEE SPL 2016) has only learned from faces that stand: of the
four quarter turns it prefers the upright one. Measured in docs/FACE_DETECTION.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from deepfakestream.faces.boxes import iou, turned, turned_points
from deepfakestream.faces.crop import crop_face
from deepfakestream.faces.mtcnn import WEIGHTS_SHA256, network_input
from deepfakestream.faces.pose import head_pose
from deepfakestream.faces.types import BoxXYXY, Detection, FaceDetector
from deepfakestream.faces.weights_file import WEIGHTS_DIR, read_weights
from deepfakestream.host.onnx_session import open_session
from deepfakestream.media.types import RGBImage

SIDE_PX = 48
MARGIN_LOGIT = 4.0
"""By how much the log-odds of a face must be better in another turn than in the one that landmarks tell."""
SAME_FACE_IOU = 0.3
_WEIGHTS_FILE = "mtcnn_onet.onnx"


def seen_upright(
    rgb: RGBImage, faces: Sequence[Detection], detector: FaceDetector
) -> list[tuple[Detection, int]]:
    """Return each face as the detector sees it in the picture turned upright, and the quarter turns to that.

    A face that stands is returned as it is. One that does not is replaced by what the detector finds in its
    place, no less surely, in the turned picture; where it finds nothing, face and turns are as the landmarks
    tell. Turns are by 90 degrees against the clock, 0-3; boxes and landmarks are in pixels of the picture as
    it lies.

    Args:
        rgb: picture `(height, width, 3)`, RGB, as it lies.
        faces: what the detector found in it.
        detector: finds the faces in the turned picture.

    Raises:
        WeightsError: the network's file is missing or is not the one with the expected digest.
    """
    seen: list[tuple[Detection, int]] = []
    again: dict[int, list[Detection]] = {}
    for face in faces:
        pose = head_pose(face.landmarks_xy)
        assumed = pose.quarter_turns if pose else 0
        turns = quarter_turns_to_upright(rgb, face.box_xyxy, assumed=assumed)
        if turns == 0:
            seen.append((face, 0))
            continue
        if turns not in again:
            again[turns] = _found_turned(rgb, turns, detector)
        same = [f for f in again[turns] if f.score >= face.score and _overlap(f, face) > SAME_FACE_IOU]
        if same:
            nearest = max(same, key=partial(_overlap, face))
            again[turns] = [f for f in again[turns] if f is not nearest]
            seen.append((nearest, turns))
        else:
            seen.append((face, assumed))
    return seen


def found_when_turned(
    rgb: RGBImage, unsure: Sequence[Detection], detector: FaceDetector, *, min_score: float, also: int
) -> list[Detection]:
    """Return sure faces of a picture that shows none as it lies, by searching it turned.

    It is turned as MTCNN's last network says of faces that the detector is unsure of, and as faces of earlier
    frames lay. The same network must not contradict any face that is found so.

    Args:
        rgb: picture `(height, width, 3)`, RGB.
        unsure: what the detector found in it.
        detector: finds the faces in the turned picture.
        min_score: from which score on a face is sure.
        also: quarter turns against the clock by which to search in any case, 0 for none.

    Raises:
        WeightsError: the network's file is missing or is not the one with the expected digest.
    """
    turns = {quarter_turns_to_upright(rgb, face.box_xyxy, assumed=0) for face in unsure} | {also}
    return [
        face
        for turn in sorted(turns - {0})
        for face in _found_turned(rgb, turn, detector)
        if face.score >= min_score and quarter_turns_to_upright(rgb, face.box_xyxy, assumed=turn) == turn
    ]


def quarter_turns_to_upright(rgb: RGBImage, box_xyxy: BoxXYXY, *, assumed: int) -> int:
    """Return how often to turn the picture by 90 degrees against the clock until the face stands, 0-3.

    Args:
        rgb: picture `(height, width, 3)`, RGB.
        box_xyxy: the face, in pixels of the picture.
        assumed: the answer where no turn is clearly better, e.g. what the landmarks tell.

    Raises:
        WeightsError: the network's file is missing or is not the one with the expected digest.
    """
    face = crop_face(rgb, box_xyxy, scale=1.0, size_px=SIDE_PX)
    turns = np.stack([np.rot90(face, turn) for turn in range(4)])
    outputs = _network().run(["dense6_1"], {"input": network_input(turns.transpose(0, 3, 1, 2))})
    no_face, is_face = np.clip(outputs[0], 1e-9, 1.0).T
    logits = np.log(is_face / no_face)
    best = int(logits.argmax())
    return best if logits[best] - logits[assumed] > MARGIN_LOGIT else assumed


def _found_turned(rgb: RGBImage, turns: int, detector: FaceDetector) -> list[Detection]:
    """Return the faces of the turned picture, in pixels of the picture as it lies."""
    upright = np.ascontiguousarray(np.rot90(rgb, turns))
    (found,) = detector.detect([upright])
    height_px, width_px = upright.shape[:2]
    return [
        Detection(
            box_xyxy=turned(face.box_xyxy, -turns, (height_px, width_px)),
            landmarks_xy=turned_points(face.landmarks_xy, -turns, (height_px, width_px)),
            score=face.score,
        )
        for face in found
    ]


def _overlap(a: Detection, b: Detection) -> float:
    return iou(a.box_xyxy, b.box_xyxy)


@cache
def _network() -> Any:
    path = WEIGHTS_DIR / _WEIGHTS_FILE
    return open_session(read_weights(path, WEIGHTS_SHA256[_WEIGHTS_FILE]), num_threads=1)
