"""A picture of what a network is about to learn from: pairs of a real and a fake, as they enter it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deepfakestream.training.pairs import PairDataset

THUMBNAIL_PX = 112


def write_pairs_picture(pairs: PairDataset, path: Path, *, rows: int = 4, columns: int = 6) -> None:
    """Write a sheet of training pairs as PNG: in each couple the real is left, the fake right."""
    draws = [draw % len(pairs) for draw in range(rows * columns)]
    couples = [np.hstack([_thumbnail(face) for face in pairs[draw].numpy()]) for draw in draws]
    sheet = np.vstack([np.hstack(couples[row * columns : (row + 1) * columns]) for row in range(rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _thumbnail(face: np.ndarray) -> np.ndarray:
    upright = np.ascontiguousarray(face.transpose(1, 2, 0))
    return np.asarray(cv2.resize(upright, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA))
