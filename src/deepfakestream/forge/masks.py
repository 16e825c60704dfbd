"""From a hard region to a blending mask: warped and softened (Shiohara and Yamasaki, CVPR 2022, 3.2)."""

from __future__ import annotations

import cv2
import numpy as np

from deepfakestream.forge.regions import Mask

BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
MIN_CORE_PX = 16
"""Smaller cores are not made smaller still."""


def blending_mask(region: Mask, rng: np.random.Generator) -> Mask:
    """Return a soft mask whose outline no longer follows the landmarks and whose peak is a random ratio.

    Args:
        region: mask `(S, S)`, 0 to 1.
        rng: random numbers; the same state gives the same result.
    """
    mask = _eroded_or_dilated(region, rng)
    mask = elastic(mask, rng, strength_px=float(rng.uniform(1.0, 8.0)), cells=int(rng.integers(4, 10)))
    mask = _soft(mask, rng)
    return mask * np.float32(rng.choice(BLEND_RATIOS))


def elastic(image: Mask, rng: np.random.Generator, *, strength_px: float, cells: int) -> Mask:
    """Return the image under a smooth random displacement of up to about `strength_px` pixels.

    Args:
        image: mask `(S, S)`.
        rng: random numbers; the same state gives the same result.
        strength_px: largest displacement, about.
        cells: of the random grid along a side; fewer are smoother.
    """
    height, width = image.shape[:2]
    coarse = rng.uniform(-1.0, 1.0, (cells, cells, 2)).astype(np.float32)
    shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(strength_px)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warped = cv2.remap(image, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.float32)


def _eroded_or_dilated(mask: Mask, rng: np.random.Generator) -> Mask:
    side = int(rng.integers(1, 12))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    operation = cv2.erode if rng.random() < 0.6 else cv2.dilate
    changed = np.asarray(operation(mask, kernel), dtype=np.float32)
    # A small region eroded away would leave a fake that equals its real.
    return changed if changed.sum() >= MIN_CORE_PX else mask


def _soft(mask: Mask, rng: np.random.Generator) -> Mask:
    """Blur twice; between the passes keep only the core, which draws the edge inwards."""
    first = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.8, 4.0)))
    core = np.where(first >= 0.9 * max(float(first.max()), 1e-6), np.float32(1.0), np.float32(0.0))
    if core.sum() < MIN_CORE_PX:
        core = mask
    soft = cv2.GaussianBlur(core, (0, 0), float(rng.choice([rng.uniform(0.6, 2.0), rng.uniform(2.0, 9.0)])))
    return np.asarray(soft / max(float(soft.max()), 1e-6), dtype=np.float32)
