"""Still and animated pictures through Pillow: open safely, read facts, decode to upright 8-bit RGB."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.jpeg_quality import estimate_quality
from deepfakestream.media.limits import check_pixels, too_many_pixels
from deepfakestream.media.types import MediaBudget, MediaInfo, RGBImage

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_JPEG = frozenset({"JPEG", "MPO"})
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations in which width and height change places."""
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of an EXIF orientation upright; 1 is upright."""
BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on an empty page."""
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Everything that Pillow's readers raise on damaged bytes."""

# The budget refuses such pictures in one sentence; Pillow's own would be printed before it.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@contextmanager
def open_picture(path: Path, budget: MediaBudget) -> Iterator[Image.Image | None]:
    """Open a picture by content and close it afterwards; None where no allowed format recognises the file.

    Raises:
        MediaError: the header announces more pixels than the budget allows.
    """
    try:
        picture = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        yield None
        return
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(path, "the pixels that the header announces", budget) from error
    except DAMAGED:
        yield None
        return
    with picture:
        check_pixels(path, picture.size, budget)
        yield picture


def is_animated(picture: Image.Image) -> bool:
    """Tell whether the picture is a short clip: an animated GIF, WebP, PNG or AVIF of several frames."""
    try:
        return picture.format in _ANIMATED and bool(getattr(picture, "is_animated", False))
    except DAMAGED:  # a GIF is asked by reading its second frame: there is one, and it is damaged
        return True


def still_info(path: Path, picture: Image.Image) -> MediaInfo:
    """Return the facts of a still picture; width and height are those of the upright picture."""
    width_px, height_px = picture.size
    # Pillow gives the size of a TIFF as it is upright already.
    if picture.format != "TIFF" and _orientation(picture) in _SIDEWAYS:
        width_px, height_px = height_px, width_px
    kind = (picture.format or "").lower()
    return MediaInfo(
        kind="image",
        container=kind,
        codec=kind,
        width_px=width_px,
        height_px=height_px,
        size_bytes=path.stat().st_size,
        num_frames=1,
        jpeg_quality=estimate_quality(getattr(picture, "quantization", {})),
    )


def decode_still(path: Path, picture: Image.Image) -> tuple[RGBImage, bool]:
    """Return the upright picture, and whether its end is missing.

    A JPEG that was cut off is decoded as far as it goes; the rows that are missing are left out.

    Raises:
        MediaError: nothing can be decoded, or the pixels are of a kind that has no 8-bit meaning.
    """
    try:
        picture.load()
    except DAMAGED as error:
        if picture.format not in _JPEG:
            raise _damaged(path, error) from error
        return _decode_cut_jpeg(path), True
    return to_rgb(path, picture), False


def to_rgb(path: Path, picture: Image.Image) -> RGBImage:
    """Return a loaded picture as upright 8-bit RGB; transparent pixels show `BACKGROUND`.

    Raises:
        MediaError: the picture holds 32-bit numbers, which have no agreed black and white.
    """
    if picture.mode in ("I", "F"):
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: pixels are 32-bit numbers of unknown range; convert the picture to 8 or 16 bit",
        )
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray(((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        page = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        flat = Image.alpha_composite(page, picture.convert("RGBA"))
    else:
        flat = picture
    return np.ascontiguousarray(_upright(flat, _orientation(picture)).convert("RGB"))


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    method = _TRANSPOSE.get(orientation)
    return picture if method is None else picture.transpose(method)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGED:
        return 1


def _decode_cut_jpeg(path: Path) -> RGBImage:
    whole = io.BytesIO(path.read_bytes() + b"\xff\xd9")
    try:
        with Image.open(whole, formats=("JPEG",)) as picture:
            picture.load()
            return to_rgb(path, _without_missing_rows(picture))
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _without_missing_rows(picture: Image.Image) -> Image.Image:
    """Return a cut JPEG without the grey that libjpeg puts in place of the end: half a face is no face.

    A picture of one colour stays as it is.
    """
    pixels = np.asarray(picture)
    shown = np.flatnonzero((pixels != pixels[-1, -1]).reshape(len(pixels), -1).any(axis=1))
    return picture.crop((0, 0, picture.width, int(shown[-1]) + 1)) if len(shown) else picture


def _damaged(path: Path, error: BaseException) -> MediaError:
    reason = Reason.TRUNCATED if "truncated" in str(error) else Reason.UNREADABLE
    return MediaError(reason, f"{path.name}: the picture is damaged ({error}); get a whole copy of the file")
