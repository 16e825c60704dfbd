"""What generators leave on a face: colour shifts, lost or false detail, upsampling grids, foreign coding.

Each function takes a square uint8 RGB picture and returns one of the same shape. They are applied to one side
of a blend only, so that inside and outside of the mask disagree.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from deepfakestream.media.types import RGBImage

_DOWNSCALE = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)
_UPSCALE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST, cv2.INTER_LANCZOS4)


def colour_shift(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Shift hue, saturation, brightness, contrast and single channels a little.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    image = rgb.astype(np.float32)
    image = image * rng.uniform(0.88, 1.12) + rng.uniform(-16, 16)
    image = image + rng.uniform(-12, 12, 3).astype(np.float32) * (rng.random() < 0.5)
    hsv = cv2.cvtColor(to_uint8(image), cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + int(rng.integers(-5, 6))) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.8, 1.2), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), dtype=np.uint8)


def lost_detail(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Scale down and up again, as a face generated at low resolution is.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    size = rgb.shape[0]
    small = max(16, round(size / rng.uniform(1.3, 4.5)))
    reduced = cv2.resize(rgb, (small, small), interpolation=int(rng.choice(_DOWNSCALE)))
    return np.asarray(
        cv2.resize(reduced, (size, size), interpolation=int(rng.choice(_UPSCALE))), dtype=np.uint8
    )


def sharpened(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Add an unsharp mask.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    amount = rng.uniform(0.3, 1.2)
    blurred = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.7, 2.0)))
    return np.asarray(cv2.addWeighted(rgb, 1.0 + amount, blurred, -amount, 0.0), dtype=np.uint8)


def smoothed(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Smooth the skin and keep the edges, as an autoencoder does.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    if rng.random() < 0.5:
        return np.asarray(cv2.bilateralFilter(rgb, 5, float(rng.uniform(15, 60)), 3.0), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.5, 1.8))), dtype=np.uint8)


def upsampling_grid(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Add the faint periodic pattern that learned upsampling leaves (Odena et al., Distill 2016).

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    size = rgb.shape[0]
    period = int(rng.choice([2, 4, 8]))
    tile = rng.normal(0.0, float(rng.uniform(0.6, 2.5)), (period, period, 3))
    repeats = -(-size // period)
    pattern = np.tile(tile, (repeats, repeats, 1))[:size, :size]
    return to_uint8(rgb.astype(np.float32) + pattern.astype(np.float32))


def foreign_coding(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Compress on a block grid that is shifted against the picture's own.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    offset = rng.integers(0, 8, 2)
    rolled = np.roll(rgb, tuple(int(o) for o in offset), axis=(0, 1))
    quality = int(rng.integers(40, 90))
    _, coded = cv2.imencode(".jpg", rolled, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_BGR), dtype=np.uint8)
    return np.asarray(np.roll(decoded, tuple(-int(o) for o in offset), axis=(0, 1)), dtype=np.uint8)


def noise(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Add sensor-like noise of another strength.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    sigma = float(rng.uniform(1.0, 6.0))
    return to_uint8(rgb.astype(np.float32) + rng.normal(0.0, sigma, rgb.shape).astype(np.float32))


TEXTURE_TRACES: tuple[Callable[[RGBImage, np.random.Generator], RGBImage], ...] = (
    lost_detail,
    lost_detail,
    sharpened,
    smoothed,
    upsampling_grid,
    foreign_coding,
    noise,
)


def leave_traces(rgb: RGBImage, rng: np.random.Generator) -> RGBImage:
    """Return the picture with a colour shift (often) and one or two texture traces.

    Args:
        rgb: picture `(S, S, 3)`, RGB, 0-255.
        rng: random numbers; the same state gives the same result.
    """
    image = colour_shift(rgb, rng) if rng.random() < 0.8 else rgb
    for index in rng.choice(len(TEXTURE_TRACES), size=int(rng.integers(1, 3)), replace=False):
        image = TEXTURE_TRACES[int(index)](image, rng)
    return image


def to_uint8(image: np.ndarray) -> RGBImage:
    """Return grey levels of any range as a picture: rounded, and cut at 0 and 255.

    Args:
        image: `(height, width)` or `(height, width, 3)`, any type of number.
    """
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
