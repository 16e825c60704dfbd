"""What happens to pictures on their way through the world, each in a ladder from mild to harsh.

Applied to face crops: a crop is compressed as if it were the whole picture, so that a level is harsher
here than the same setting on a whole file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from deepfakestream.forge.degrade import h264, jpeg
from deepfakestream.media.types import RGBImage

Change = Callable[[RGBImage, np.random.Generator], RGBImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One way to change a picture at one strength."""

    kind: str
    """The ladder that it belongs to."""
    level: str
    change: Change


def perturbations() -> tuple[Perturbation, ...]:
    """Return every perturbation, ladder by ladder, the mildest of each first."""
    ladders: dict[str, dict[str, Change]] = {
        "JPEG quality": {str(q): _with(jpeg, quality=q) for q in (90, 70, 50, 30)},
        "H.264 crf": {str(crf): _with(h264, crf=crf) for crf in (23, 28, 34, 40)},
        "resize and back": {f"{share:g}": _with(resize_and_back, share=share) for share in (0.75, 0.5, 0.25)},
        "blur sigma": {f"{sigma:g} px": _with(blur, sigma_px=sigma) for sigma in (1.0, 2.0, 3.0)},
        "noise sigma": {f"{sigma:g}": partial(noise, sigma=sigma) for sigma in (4.0, 8.0, 16.0)},
        "screenshot": {"once": _with(screenshot)},
        "re-upload": {"once": _with(re_upload, times=1), "twice": _with(re_upload, times=2)},
    }
    return tuple(
        Perturbation(kind=kind, level=level, change=change)
        for kind, ladder in ladders.items()
        for level, change in ladder.items()
    )


def resize_and_back(rgb: RGBImage, *, share: float) -> RGBImage:
    """Return the picture shrunk to `share` of its sides and enlarged again: its fine detail is gone.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        share: of its sides.
    """
    height, width = rgb.shape[:2]
    return _resized(_resized(rgb, max(2, round(width * share)), max(2, round(height * share))), width, height)


def blur(rgb: RGBImage, *, sigma_px: float) -> RGBImage:
    """Return the picture under a Gaussian blur.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        sigma_px: standard deviation in pixels.
    """
    return _uint8(cv2.GaussianBlur(rgb, (0, 0), sigma_px))


def noise(rgb: RGBImage, rng: np.random.Generator, *, sigma: float) -> RGBImage:
    """Return the picture with independent Gaussian noise of standard deviation `sigma` (of 255).

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
        sigma: standard deviation, of 255.
    """
    noisy = rgb.astype(np.float32) + rng.normal(0.0, sigma, rgb.shape).astype(np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def screenshot(rgb: RGBImage) -> RGBImage:
    """Return the picture as a screen shows it and a screenshot keeps it: resampled, darker gamma, JPEG 85.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
    """
    height, width = rgb.shape[:2]
    shown = _resized(rgb, round(width * 1.37), round(height * 1.37)).astype(np.float32) / 255.0
    dimmed = _uint8(np.rint(255.0 * shown**1.1))
    return _resized(jpeg(dimmed, quality=85), width, height)


def re_upload(rgb: RGBImage, *, times: int) -> RGBImage:
    """Return the picture after a network's recoding: shrunk, H.264 crf 28, enlarged, JPEG 75.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        times: how many times in a row.
    """
    height, width = rgb.shape[:2]
    for _ in range(times):
        small = _resized(rgb, round(width * 0.7) // 2 * 2, round(height * 0.7) // 2 * 2)
        rgb = jpeg(_resized(h264(small, crf=28), width, height), quality=75)
    return rgb


def _with(change: Callable[..., RGBImage], **settings: float) -> Change:
    return lambda rgb, _: change(rgb, **settings)


def _resized(rgb: RGBImage, width: int, height: int) -> RGBImage:
    method = cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_CUBIC
    return _uint8(cv2.resize(rgb, (width, height), interpolation=method))


def _uint8(values: object) -> RGBImage:
    return np.asarray(values).astype(np.uint8)
