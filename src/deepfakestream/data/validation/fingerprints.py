"""Fingerprints of crops: bits that survive re-encoding, resizing and brightness, taken from several views.

A difference hash (Krawetz, "Kind of like that", hackerfactor.com 2013): each bit says whether one cell of a
coarse grid is brighter than its neighbour. It does not survive cropping, so a crop is also fingerprinted as
it would look after a little was cut off: two pictures are alike if the whole of one is a view of the other.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Bits = npt.NDArray[np.uint64]

GRID = 16
NUM_BITS = 2 * GRID * (GRID - 1)
NUM_WORDS = (NUM_BITS + 63) // 64
THUMB_PX = 96
# left, top, right, bottom: what is cut off, as shares of the side
_CUTS = (
    (0.0, 0.0, 0.0, 0.0),
    (0.025, 0.025, 0.025, 0.025),
    (0.05, 0.05, 0.05, 0.05),
    (0.05, 0.0, 0.0, 0.0),
    (0.0, 0.05, 0.0, 0.0),
    (0.0, 0.0, 0.05, 0.0),
    (0.0, 0.0, 0.0, 0.05),
    (0.05, 0.05, 0.0, 0.0),
    (0.0, 0.05, 0.05, 0.0),
    (0.05, 0.0, 0.0, 0.05),
    (0.0, 0.0, 0.05, 0.05),
)
NUM_VIEWS = len(_CUTS)


def thumbnail(gray: Gray) -> Gray:
    """Return a crop's luma at `THUMB_PX` x `THUMB_PX`, which is all that fingerprints look at."""
    return np.asarray(cv2.resize(gray, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def fingerprints(gray: Gray) -> Bits:
    """Return the fingerprints of a crop, `(1 + NUM_VIEWS, NUM_WORDS)`.

    Row 0 is the mirrored whole, row 1 the whole, the others are the views with a margin cut off.
    """
    thumb = thumbnail(gray)
    grids = [_grid(thumb[:, ::-1])]
    for cut in _CUTS:
        left, top, right, bottom = (round(share * THUMB_PX) for share in cut)
        grids.append(_grid(thumb[top : THUMB_PX - bottom, left : THUMB_PX - right]))
    cells = np.stack(grids)
    across = cells[:, :, 1:] > cells[:, :, :-1]
    down = cells[:, 1:, :] > cells[:, :-1, :]
    bits = np.concatenate([across.reshape(len(cells), -1), down.reshape(len(cells), -1)], axis=1)
    padded = np.zeros((len(cells), NUM_WORDS * 64), dtype=np.bool_)
    padded[:, :NUM_BITS] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def _grid(thumb: Gray) -> npt.NDArray[np.float32]:
    small = cv2.resize(thumb.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)
