"""Self-blended images: a face blended with an altered copy of itself (Shiohara and Yamasaki, CVPR 2022).

Written from the paper's description. Departures, each on purpose: masks come from a 468-point mesh and
include small regions (mouth, eyes) for re-enactment; traces of learned upsampling and foreign coding join the
frequency transforms; the colour limits act (in the published code some are on the wrong scale and do not).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deepfakestream.forge.artifacts import leave_traces, to_uint8
from deepfakestream.forge.masks import blending_mask
from deepfakestream.forge.mesh import Points
from deepfakestream.forge.regions import Mask, random_region
from deepfakestream.media.types import RGBImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    """A fake and the real that it was made from; apart from the forgery they are the same picture."""

    real: RGBImage
    fake: RGBImage
    mask: Mask


def self_blend(
    rgb: RGBImage, points: Points, rng: np.random.Generator, *, keep_outside: bool = False
) -> Forgery:
    """Return a self-blended fake of a face crop and its real.

    With even odds the altered copy is the inside or the outside of the blend; in the second case the real
    of the pair is altered alike, so that alteration alone says nothing about the class.

    Args:
        rgb: square face crop `(S, S, 3)`, RGB, 0-255.
        points: its mesh, `(468, 2)` in pixels.
        rng: what is drawn from.
        keep_outside: always alter the inside, so that the crop fits the picture that it was cut from.
    """
    altered = leave_traces(rgb, rng)
    source, target = (altered, rgb) if rng.random() < 0.5 or keep_outside else (rgb, altered)
    mask = random_region(points, rgb.shape[0], rng)
    source, mask = _moved(source, mask, rng)
    mask = blending_mask(mask, rng)
    return Forgery(real=target, fake=blend(source, target, mask), mask=mask)


def blend(source: RGBImage, target: RGBImage, mask: Mask) -> RGBImage:
    """Return `mask * source + (1 - mask) * target`.

    Args:
        source: `(S, S, 3)`, shown where the mask is 1.
        target: `(S, S, 3)`, shown where the mask is 0.
        mask: `(S, S)`, 0 to 1.
    """
    weight = mask[..., None]
    mixed = weight * source.astype(np.float32) + (1.0 - weight) * target.astype(np.float32)
    return to_uint8(mixed)


def _moved(source: RGBImage, mask: Mask, rng: np.random.Generator) -> tuple[RGBImage, Mask]:
    """Shift and scale source and mask together by up to a few per cent."""
    size = source.shape[0]
    scale = rng.uniform(0.95, 1.05)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(-2, 2)), float(scale))
    matrix[:, 2] += rng.uniform(-1, 1, 2) * (0.03 * size, 0.015 * size)
    moved = cv2.warpAffine(
        source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, dtype=np.uint8), np.asarray(
        cv2.warpAffine(mask, matrix, (size, size)), dtype=np.float32
    )
