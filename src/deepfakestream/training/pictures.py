"""A picture of what a network is about to learn from: pairs of a real and a fake, as they enter it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deepfakestream.training.pairs import PairDataset

THUMBNAIL_PX = 112


def write_pairs_picture(pairs: PairDataset, path: Path, *, rows: int = 4, columns: int = 6) -> None:
    """Write a sheet of training pairs as PNG: in each couple the real is left, the fake right.

    Args:
        pairs: to draw from.
        path: PNG to write.
        rows: of couples.
        columns: of couples.
    """
    draws = [draw % len(pairs) for draw in range(rows * columns)]
    couples = []
    for draw in draws:
        faces = [np.ascontiguousarray(face.transpose(1, 2, 0)) for face in pairs[draw].numpy()]
        size = (THUMBNAIL_PX, THUMBNAIL_PX)
        couples.append(np.hstack([cv2.resize(face, size, interpolation=cv2.INTER_AREA) for face in faces]))
    sheet = np.vstack([np.hstack(couples[row * columns : (row + 1) * columns]) for row in range(rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
