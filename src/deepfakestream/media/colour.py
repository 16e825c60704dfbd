"""Colours as a viewer sees them: HDR, wide colour spaces and colour profiles become 8-bit sRGB.

Transfer functions and primaries by the numbers of ITU-T H.273, which video, AVIF and PNG share.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from deepfakestream.media.types import RGBImage

LINEAR, SRGB, PQ, HLG = 8, 13, 16, 18
"""Transfer functions that are handled by name."""
BT709, BT2020 = 1, 9
"""Primaries that are handled by name."""
REFERENCE_WHITE_NITS = 203.0
"""What SDR white is in HDR (ITU-R BT.2408)."""
HLG_PEAK_NITS = 1000.0
KNEE = 0.75
"""Light, over reference white, up to which HDR stays as it is where a picture is brighter than white."""
PEAK_QUANTILE = 0.999
MIN_PROFILE_DIFFERENCE = 2
"""Levels by which a colour profile must change some colour to be applied: one of sRGB changes none."""
MAX_PROFILE_BYTES = 16_000_000
_BAND_PIXELS = 1 << 20
_D65 = (0.3127, 0.3290)
Chromaticities = tuple[tuple[float, float], ...]
"""x and y of red, green, blue and white (CIE 1931)."""
_PRIMARIES: dict[int, Chromaticities] = {
    BT709: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
"""Of H.273: BT.709, BT.2020, DCI P3, Display P3."""


@dataclass(slots=True, kw_only=True)
class Colours:
    """What a picture file says about its colours besides an ICC profile."""

    transfer: int | None = None
    primaries: int | None = None
    """Numbers of ITU-T H.273."""
    gamma: float | None = None
    """Exponent from a level to its light."""
    chromaticities: Chromaticities | None = None
    profile: bytes | None = None
    """An ICC profile that Pillow does not give."""


def is_hdr(transfer: int) -> bool:
    """Tell whether the transfer function is one of high dynamic range."""
    return transfer in (PQ, HLG)


def needs_conversion(transfer: int, primaries: int) -> bool:
    """Tell whether pixels of this transfer function and these primaries look wrong as sRGB.

    The primaries of standard-definition video are taken for those of sRGB, as players do.

    Args:
        transfer: transfer characteristics as a number of ITU-T H.273.
        primaries: colour primaries as a number of ITU-T H.273.
    """
    return is_hdr(transfer) or transfer == LINEAR or (primaries in _PRIMARIES and primaries != BT709)


def to_srgb(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    transfer: int,
    primaries: int | Chromaticities,
    gamma: float | None = None,
    is_video: bool = False,
) -> RGBImage:
    """Return RGB pixels `(height, width, 3)` as sRGB; HDR is tone-mapped.

    Light up to reference white stays as it is. What is brighter, up to the picture's own peak, is compressed
    into the uppermost quarter, at constant hue.

    Args:
        pixels: 8 or 16 bits of the full range.
        transfer: transfer function (H.273); any but PQ, HLG and linear counts as that of a display.
        primaries: primaries (H.273), or the chromaticities of red, green, blue and white.
        gamma: exponent of a display's transfer function; None where it is that of sRGB.
        is_video: tone-map to video levels: SDR video is shown as if its BT.1886 levels were sRGB.
    """
    levels = np.arange(np.iinfo(pixels.dtype).max + 1) / np.iinfo(pixels.dtype).max
    to_light = _light(levels, transfer, gamma).astype(np.float32)
    matrix = _matrix_to_bt709(primaries)
    rows = max(1, _BAND_PIXELS // pixels.shape[1])
    bands = [slice(top, top + rows) for top in range(0, len(pixels), rows)]
    peak = 1.0
    if is_hdr(transfer):
        brightest = np.concatenate([_display_light(to_light[pixels[b]], transfer).max(axis=2) for b in bands])
        peak = float(np.quantile(brightest, PEAK_QUANTILE))
    result = np.empty(pixels.shape, dtype=np.uint8)
    for band in bands:
        light = _display_light(to_light[pixels[band]], transfer)
        if peak > 1.0:
            light = _compressed(light, peak)
        light = np.clip(light @ matrix.T, 0.0, 1.0)
        if is_hdr(transfer) and is_video:
            encoded = light ** (1 / 2.4)
        else:  # as sRGB
            curve = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
            encoded = np.where(light <= 0.0031308, 12.92 * light, curve)
        result[band] = np.rint(255 * encoded)
    return result


def profile_to_srgb(picture: Image.Image, profile: bytes) -> Image.Image | None:
    """Return a picture of mode L, RGB or CMYK in sRGB; None where its colour profile changes nothing.

    Transparency must be gone before. A profile that is damaged, or of other colours than the picture, changes
    nothing: that is what viewers make of it.

    Args:
        picture: of mode L, RGB or CMYK.
        profile: bytes of its ICC profile.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        return None
    transform = _transform(profile, picture.mode)
    if transform is None:
        return None
    probe = _probe(picture.mode)
    before = np.asarray(probe.convert("RGB")).astype(int)
    after = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
    if picture.mode != "CMYK" and np.abs(after - before).max() <= MIN_PROFILE_DIFFERENCE:
        return None
    return ImageCms.applyTransform(picture, transform)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                mode,
                "RGB",
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
            )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=4)
def _probe(mode: str) -> Image.Image:
    """Return a small picture that holds colours from all over a mode's range."""
    steps = np.linspace(0, 255, 6 if mode == "CMYK" else 16).round().astype(np.uint8)
    channels = len(Image.new(mode, (1, 1)).getbands())
    grid = np.stack(np.meshgrid(*[steps] * channels, indexing="ij"), axis=-1).reshape(1, -1, channels)
    return Image.fromarray(grid[..., 0] if channels == 1 else grid, mode=mode)


def _light(levels: NDArray[np.float64], transfer: int, gamma: float | None) -> NDArray[np.float64]:
    """Return the light of signal levels 0-1: over reference white, for HLG that of the scene."""
    if transfer == PQ:  # SMPTE ST 2084
        powered = levels ** (1 / 78.84375)
        fraction = np.maximum(powered - 0.8359375, 0) / (18.8515625 - 18.6875 * powered)
        return fraction ** (1 / 0.1593017578125) * (10000.0 / REFERENCE_WHITE_NITS)
    if transfer == HLG:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
    if transfer == LINEAR:
        return levels
    if gamma is not None:
        return levels**gamma
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _display_light(light: NDArray[np.float32], transfer: int) -> NDArray[np.float32]:
    if transfer != HLG:
        return light
    luminance = light @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
    scale = (HLG_PEAK_NITS / REFERENCE_WHITE_NITS) * np.maximum(luminance, 1e-6) ** 0.2
    return np.asarray(light * scale[..., None], dtype=np.float32)


def _compressed(light: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    brightest = light.max(axis=2)
    over = np.clip((brightest - KNEE) / (peak - KNEE), 0.0, 1.0)
    slope = (peak - KNEE) / (1 - KNEE)
    wanted = np.where(
        brightest > KNEE, KNEE + (1 - KNEE) * slope * over / (1 + (slope - 1) * over), brightest
    )
    scale = wanted / np.maximum(brightest, 1e-6)
    return np.asarray(light * scale[..., None], dtype=np.float32)


def _matrix_to_bt709(primaries: int | Chromaticities) -> NDArray[np.float32]:
    known = _PRIMARIES.get(primaries, _PRIMARIES[BT709]) if isinstance(primaries, int) else primaries
    own, target = _to_xyz(known), _to_xyz(_PRIMARIES[BT709])
    # Bradford: the picture's white becomes that of sRGB
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gains = (bradford @ target.sum(axis=1)) / (bradford @ own.sum(axis=1))
    adapt = np.linalg.inv(bradford) @ np.diag(gains) @ bradford
    return np.asarray(np.linalg.inv(target) @ adapt @ own, dtype=np.float32)


def _to_xyz(primaries: Chromaticities) -> NDArray[np.float64]:
    """Return the matrix from linear RGB to CIE XYZ.

    Raises:
        numpy.linalg.LinAlgError: the primaries lie on one line.
    """
    red_green_blue = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries[:3]]).T
    x, y = primaries[3]
    return red_green_blue * np.linalg.solve(red_green_blue, np.array([x / y, 1.0, (1 - x - y) / y]))
