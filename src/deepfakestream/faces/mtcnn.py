"""MTCNN: three small networks in a row, on onnxruntime; 2 MB of weights that ship with the package.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE SPL
2016 (arXiv:1604.02878). The weights are those of the MIT-licensed wheel `facenet-pytorch` 2.6.0 (licence
next to them, converted by infra/install/convert_mtcnn.py); the code is ours and finds the wheel's boxes and
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from deepfakestream.faces.boxes import as_box, longer_side, suppress
from deepfakestream.faces.types import Detection, Floats
from deepfakestream.faces.weights_file import WEIGHTS_DIR, detector_digest, read_weights
from deepfakestream.faces.working_size import SIZE_FACTS, batches
from deepfakestream.host.onnx_session import open_session
from deepfakestream.media.types import RGBImage

NAME = "mtcnn"
WEIGHTS_SHA256 = {
    "mtcnn_pnet.onnx": "4f91aa803c9a43670b9d9900c264c370cf6e166d9b436611267032e112d141cd",
    "mtcnn_rnet.onnx": "f213c89e667629bb08303094f02628455280fc7f6a26119d1d53ba21bb2477b1",
    "mtcnn_onet.onnx": "a0f8786c06dc2742c0c5e7886a132cc05ee04290e1bd7196ebba2246fd7deb8e",
}
MAX_LONG_SIDE_PX = 1280
"""Larger pictures are shrunk to this first: bounds time and memory."""
MIN_FACE_PX = 20
MIN_FACE_SHARE = 1 / 48
"""Smallest face over the picture's longer side: 40 pixels in a full-HD frame, our smallest useful face."""
PYRAMID_STEP = 0.709
MIN_SCORES = (0.6, 0.7, 0.7)
LEVEL_IOU, PROPOSAL_IOU, REFINED_IOU, NESTED_SHARE = 0.5, 0.7, 0.7, 0.7
MAX_CANDIDATES = 1000
"""Best proposals of a level that go on: bounds the cost of adversarial pictures."""
ALGORITHM = {
    "version": 1,  # raise it when the code below finds other faces with the same constants
    "max_long_side_px": MAX_LONG_SIDE_PX,
    "min_face": (MIN_FACE_PX, MIN_FACE_SHARE),
    "pyramid_step": PYRAMID_STEP,
    "min_scores": MIN_SCORES,
    "overlaps": (LEVEL_IOU, PROPOSAL_IOU, REFINED_IOU, NESTED_SHARE),
    "max_candidates": MAX_CANDIDATES,
    **SIZE_FACTS,
}

_NOBODY = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

STRIDE_PX = 2
CELL_PX = 12
"""The first network looks at squares of this side, this many pixels apart."""

Corners = NDArray[np.int64]
"""`(N, 4)`: left, top, right and bottom of rectangles in whole pixels, right and bottom not included."""


def open_mtcnn(*, device: str = "cpu", num_threads: int = 1) -> Mtcnn:
    """Return the detector; it may be shared by several threads.

    Args:
        device: "cuda" uses the GPU where onnxruntime has a CUDA provider; anything else the CPU.
        num_threads: threads of one call on the CPU.

    Raises:
        WeightsError: a file is missing or is not the one with the expected digest.
    """
    sessions = [
        open_session(read_weights(WEIGHTS_DIR / name, digest), device=device, num_threads=num_threads)
        for name, digest in WEIGHTS_SHA256.items()
    ]
    return Mtcnn(*sessions)


class Mtcnn:
    """A `FaceDetector`; results do not depend on how pictures are grouped into calls."""

    name = NAME

    def __init__(self, propose: Any, refine: Any, output: Any) -> None:
        """Bind the sessions of the three networks."""
        weights = sha256("".join(WEIGHTS_SHA256.values()).encode()).hexdigest()
        self.digest = detector_digest(weights, ALGORITHM)
        self._propose_net, self._refine_net, self._output_net = propose, refine, output

    def detect(self, images: Sequence[RGBImage]) -> list[list[Detection]]:
        """Return each picture's faces, the largest first; an empty list where there is none.

        Args:
            images: upright pictures `(height, width, 3)`, RGB, 0-255; sizes may differ.
        """
        found: list[list[Detection]] = [[] for _ in images]
        for positions, stacked in batches(images, MAX_LONG_SIDE_PX):
            views = [AreaSampler(rgb) for rgb in stacked]
            for position, view, proposed in zip(positions, views, self._propose(views), strict=True):
                boxes, scores, points = self._output(view, self._refine(view, proposed))
                zoom_xy = np.divide(images[position].shape[1::-1], stacked.shape[2:0:-1], dtype=np.float32)
                found[position] = _detections(boxes * np.tile(zoom_xy, 2), scores, points * zoom_xy)
        return found

    def _propose(self, views: Sequence[AreaSampler]) -> list[Floats]:
        """Return each picture's squares that may hold a face."""
        levels: list[list[Floats]] = [[] for _ in views]
        for zoom in pyramid(views[0].height_px, views[0].width_px):
            hw = int(views[0].height_px * zoom + 1), int(views[0].width_px * zoom + 1)
            faces, offsets = self._propose_net.run(
                None, {"input": network_input([view.whole(hw) for view in views])}
            )
            for picture, level in enumerate(levels):
                found = proposals(faces[picture, 1], offsets[picture], zoom, MIN_SCORES[0])
                found = found[:MAX_CANDIDATES]
                level.append(found[suppress(found[:, :4], LEVEL_IOU)])
        joined = []
        for level in levels:
            found = np.concatenate([np.zeros((0, 9), np.float32), *level])
            found = found[np.argsort(-found[:, 4], kind="stable")]
            found = found[suppress(found[:, :4], PROPOSAL_IOU)]
            joined.append(squared(corrected(found[:, :4], found[:, 5:], last_pixel=0)))
        return joined

    def _refine(self, view: AreaSampler, boxes: Floats) -> Floats:
        """Return the better-placed squares of those that do hold a face."""
        corners, usable = inside(boxes, view.height_px, view.width_px)
        if not usable.any():
            return np.zeros((0, 4), dtype=np.float32)
        patches = view.patches(corners[usable], 24)
        faces, offsets = self._refine_net.run(None, {"input": network_input(patches)})
        order = _best(faces[:, 1], MIN_SCORES[1])
        kept = order[suppress(boxes[usable][order], REFINED_IOU)]
        return squared(corrected(boxes[usable][kept], offsets[kept], last_pixel=1))

    def _output(self, view: AreaSampler, boxes: Floats) -> tuple[Floats, Floats, Floats]:
        """Return final boxes `(N, 4)`, scores `(N,)` and points `(N, 5, 2)`."""
        corners, usable = inside(boxes, view.height_px, view.width_px)
        if not usable.any():
            return _NOBODY
        patches = view.patches(corners[usable], 48)
        faces, offsets, points = self._output_net.run(None, {"input": network_input(patches)})
        order = _best(faces[:, 1], MIN_SCORES[2])
        near = boxes[usable][order]
        sides = near[:, None, 2:] - near[:, None, :2] + 1
        points_xy = np.stack([points[order, :5], points[order, 5:]], axis=-1) * sides + near[:, None, :2] - 1
        final = corrected(near, offsets[order], last_pixel=1)
        kept = suppress_nested(final, NESTED_SHARE)
        return final[kept], faces[order, 1][kept], points_xy[kept]


def pyramid(height_px: int, width_px: int) -> list[float]:
    """Return the zooms at which the first network sees a picture, the largest first.

    Args:
        height_px: of the picture.
        width_px: of the picture.
    """
    zoom = CELL_PX / max(MIN_FACE_PX, MIN_FACE_SHARE * max(height_px, width_px))
    zooms = []
    while min(height_px, width_px) * zoom >= CELL_PX:
        zooms.append(zoom)
        zoom *= PYRAMID_STEP
    return zooms


def network_input(planes: Any) -> Floats:
    """Return pixels, 0-255, as the three networks expect them."""
    return cast(Floats, (np.asarray(planes, dtype=np.float32) - np.float32(127.5)) * np.float32(0.0078125))


def _best(scores: Floats, min_score: float) -> Any:
    """Return the positions of scores above the least one, best first."""
    above = np.flatnonzero(scores > min_score)
    return above[np.argsort(-scores[above], kind="stable")]


def _detections(boxes: Floats, scores: Floats, points: Floats) -> list[Detection]:
    faces = [
        Detection(
            box_xyxy=as_box(box),
            landmarks_xy=point.astype(np.float32),
            score=float(score),
        )
        for box, score, point in zip(boxes, scores, points, strict=True)
    ]
    return sorted(faces, key=lambda face: -longer_side(face.box_xyxy))


def proposals(faces: Floats, offsets: Floats, zoom: float, min_score: float) -> Floats:
    """Return `(N, 9)` proposals of one level, best first: corners in the picture, score, corrections.

    Args:
        faces: `(rows, columns)` probability of a face.
        offsets: `(4, rows, columns)` corrections of the corners, in sides of the square.
        zoom: size of the level over the size of the picture.
        min_score: least probability.
    """
    rows, columns = np.nonzero(faces >= min_score)
    scores = faces[rows, columns]
    order = np.argsort(-scores, kind="stable")
    corner = np.stack([columns, rows], axis=1)[order].astype(np.float32) * STRIDE_PX
    near, far = np.floor((corner + 1) / zoom), np.floor((corner + CELL_PX) / zoom)
    found = [near, far, scores[order, None], offsets[:, rows, columns].T[order]]
    return cast(Floats, np.concatenate(found, axis=1).astype(np.float32))


def corrected(boxes: Floats, offsets: Floats, *, last_pixel: int) -> Floats:
    """Return boxes `(N, 4)` moved by offsets in sides, where a side counts the last pixel (1) or not (0).

    Args:
        boxes: `(N, 4)` left, top, right, bottom in pixels.
        offsets: `(N, 4)` in sides of the square.
        last_pixel: 1 where a side counts its last pixel, else 0.
    """
    sides = np.tile(boxes[:, 2:4] - boxes[:, :2] + last_pixel, 2)
    return cast(Floats, boxes[:, :4] + offsets * sides)


def squared(boxes: Floats) -> Floats:
    """Return the squares `(N, 4)` around the same centres with the longer side."""
    size = boxes[:, 2:4] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    near = boxes[:, :2] + (size - side) / 2
    return cast(Floats, np.concatenate([near, near + side], axis=1))


def inside(boxes: Floats, height_px: int, width_px: int) -> tuple[Corners, NDArray[np.bool_]]:
    """Return the whole-pixel part of boxes inside the picture, and which boxes have one.

    Args:
        boxes: `(N, 4)` left, top, right, bottom in pixels.
        height_px: of the picture.
        width_px: of the picture.
    """
    whole = np.trunc(boxes[:, :4]).astype(np.int64)
    corners = np.concatenate(
        [np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], (width_px, height_px))], 1
    )
    return corners, (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])


def suppress_nested(boxes: Floats, max_share: float) -> list[int]:
    """Return which boxes stay when each removes later ones; overlap is measured over the smaller box.

    The boxes come best score first; the order is kept.

    Args:
        boxes: `(N, 4)` left, top, right, bottom in pixels.
        max_share: overlap above which the later box goes.
    """
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2] + 1, axis=1)
    alive = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if not alive[i]:
            continue
        kept.append(i)
        near, far = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
        shared = np.prod(np.clip(far - near + 1, 0, None), axis=1)
        alive &= shared / np.minimum(areas[i], areas) <= max_share
    return kept


class AreaSampler:
    """Averages over the pixels that each cell of a grid touches, as adaptive average pooling does.

    The table of sums makes the cost depend on the size of the result alone.
    """

    def __init__(self, rgb: RGBImage) -> None:
        self.height_px, self.width_px = rgb.shape[:2]
        # 32-bit sums may wrap around in pictures of over 8 million pixels; differences of them stay right.
        self._sums = cv2.integral(rgb, sdepth=cv2.CV_32S)

    def whole(self, hw: tuple[int, int]) -> NDArray[np.float32]:
        """Return the picture as `(3, height, width)`."""
        rows, columns = (
            _cells(np.zeros(1, np.int64), np.array([length]), count)
            for length, count in ((self.height_px, hw[0]), (self.width_px, hw[1]))
        )
        by_row = [np.take(self._sums, edge[0], axis=0) for edge in rows]
        total = sum(
            sign * np.take(by_row[r], columns[c][0], axis=1)
            for r, c, sign in ((1, 1, 1), (0, 1, -1), (1, 0, -1), (0, 0, 1))
        )
        areas = np.outer(rows[1][0] - rows[0][0], columns[1][0] - columns[0][0])
        return np.ascontiguousarray((total / areas[..., None]).transpose(2, 0, 1), dtype=np.float32)

    def patches(self, corners: Corners, side: int) -> NDArray[np.float32]:
        """Return rectangles, each squeezed to a square, as `(N, 3, side, side)`.

        Args:
            corners: `(N, 4)` whole pixels.
            side: of the squares in pixels.
        """
        left, top, right, bottom = corners.T
        y0, y1 = (edge[:, :, None] for edge in _cells(top, bottom - top, side))
        x0, x1 = (edge[:, None, :] for edge in _cells(left, right - left, side))
        sums = self._sums
        total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
        areas = (y1 - y0) * (x1 - x0)
        return np.ascontiguousarray((total / areas[..., None]).transpose(0, 3, 1, 2), dtype=np.float32)


def _cells(starts: Corners, lengths: Corners, count: int) -> tuple[Corners, Corners]:
    """Return where each of `count` cells begins and ends, `(N, count)`; neighbours may share a pixel."""
    steps = np.arange(count + 1)
    first = starts[:, None] + steps[None, :-1] * lengths[:, None] // count
    last = starts[:, None] - (-steps[None, 1:] * lengths[:, None] // count)
    return first, last
