"""Picture files, still and animated: opened safely, facts read, decoded to upright 8-bit sRGB.

An animated GIF, WebP, PNG or AVIF is a short clip, decoded once up to the last wanted frame.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.colour import Colours, is_hdr, needs_conversion, profile_to_srgb, to_srgb
from deepfakestream.media.jpeg import Jpeg, estimate_quality
from deepfakestream.media.picture_blocks import read_avif, read_gif, read_png, read_webp
from deepfakestream.media.timeline import spread
from deepfakestream.media.types import (
    Animation,
    Frame,
    MediaBudget,
    MediaInfo,
    NoteCode,
    Record,
    RGBImage,
    Stopwatch,
)

FORMATS = ("PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
"""What Pillow may open; for JPEG there is `jpeg`."""
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_PAGES = 64
"""Pages of a TIFF that are looked at."""
MAX_THUMBNAIL_PX = 512
"""Longer side of a page up to which it is taken for a copy of the largest, where it has its shape."""
DEFAULT_FRAME_MS = 100.0
"""How long browsers show a frame whose duration is given as (nearly) zero."""
_TOO_SHORT_MS = 11.0
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
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""Everything that Pillow's readers raise on damaged bytes."""
_REDUCED_PAGE = 1
_SUBFILE_TYPE = 254

# The budget refuses such pictures in one sentence; Pillow's own would be printed before it.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class PictureFile:
    """An opened picture file and what its blocks say about frames and colours."""

    def __init__(self, picture: Image.Image, animation: Animation | None, colours: Colours) -> None:
        self.picture = picture
        self.animation = animation
        self.colours = colours


def open_picture(
    path: Path, head: bytes, budget: MediaBudget, record: Record, files: ExitStack
) -> PictureFile | None:
    """Open a picture by its content; None where no allowed format recognises the file.

    Args:
        path: the file.
        head: its first bytes.
        budget: what decoding may cost.
        record: takes note of damage that Pillow does not see.
        files: closes the picture in the end.

    Raises:
        MediaError: the header announces more pixels than the budget allows, or more chunks than is sane.
    """
    png = read_png(path) if head.startswith(PNG_START) else None
    try:
        source = files.enter_context(png.open(path) if png else path.open("rb"))
        picture = files.enter_context(Image.open(source, formats=FORMATS))
    except UnidentifiedImageError:
        return None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise budget.too_many_pixels(path, "the pixels that the header announces") from error
    except DAMAGED:
        return None
    budget.check_pixels(path, picture.size)
    if png and png.has_damaged_pixels:
        record.add(
            NoteCode.PART_SKIPPED, "check sums of its pixels do not match: it is damaged", Reason.TRUNCATED
        )
    animation, colours = (png.animation, png.colours) if png else (None, Colours())
    if picture.format == "GIF":
        animation = read_gif(path, budget.max_decoded_frames + 1)
    elif picture.format == "WEBP":
        animation = read_webp(path)
    elif picture.format == "AVIF":
        animation, colours = read_avif(path)
    if animation is not None and len(animation.durations_ms) < 2 and animation.is_whole:
        animation = None
    return PictureFile(picture, animation, colours)


class Still:
    """A still picture; a TIFF may have several pages."""

    def __init__(self, path: Path, opened: PictureFile | Jpeg, budget: MediaBudget, record: Record) -> None:
        self._path = path
        self._opened = opened
        self._budget = budget
        self._record = record
        header = opened.header if isinstance(opened, Jpeg) else opened.picture
        self._pages = [0] if isinstance(opened, Jpeg) else _pages(header, budget, record)
        if self._pages != [0]:
            header.seek(self._pages[0])
            budget.check_pixels(path, header.size)
        width_px, height_px = opened.size_px if isinstance(opened, Jpeg) else header.size
        # Pillow gives the size of a TIFF as it is upright already.
        if header.format != "TIFF" and orientation_of(header) in _SIDEWAYS:
            width_px, height_px = height_px, width_px
        name = (header.format or "").lower()
        self.info = MediaInfo(
            kind="image",
            container=name,
            codec=name,
            width_px=width_px,
            height_px=height_px,
            size_bytes=path.stat().st_size,
            num_frames=1,
            jpeg_quality=estimate_quality(getattr(header, "quantization", {})),
        )

    def frames(self, num_frames: int) -> Iterator[Frame]:  # noqa: ARG002 - as for videos
        """Yield the picture, or one frame a page, the largest first.

        Raises:
            MediaError: nothing can be decoded, or the pixels are of a kind that has no 8-bit meaning.
        """
        if isinstance(self._opened, Jpeg):
            whole = self._opened.decode(self._record)
            yield self._frame(0, to_rgb(self._path, whole, Colours(), self._record))
            return
        picture = self._opened.picture
        for stream, page in enumerate(self._pages):
            try:
                if len(self._pages) > 1 or page:
                    picture.seek(page)
                self._budget.check_pixels(self._path, picture.size)
                picture.load()
            except DAMAGED as error:
                raise MediaError(
                    Reason.TRUNCATED if "truncated" in str(error) else Reason.UNREADABLE,
                    f"{self._path.name}: the picture is damaged ({error}); get a whole copy of the file",
                ) from error
            yield self._frame(stream, to_rgb(self._path, picture, self._opened.colours, self._record))

    def _frame(self, stream: int, rgb: RGBImage) -> Frame:
        if stream == 0:
            self.info = replace(self.info, width_px=rgb.shape[1], height_px=rgb.shape[0])
        return Frame(index=stream, time_s=0.0, rgb=rgb, stream=stream)


class AnimatedPicture:
    """An animated picture, indexed by its blocks."""

    def __init__(self, path: Path, opened: PictureFile, budget: MediaBudget, record: Record) -> None:
        """Read the index.

        Raises:
            MediaError: it has more frames or is longer than the budget allows.
        """
        assert opened.animation is not None
        self._path = path
        self._opened = opened
        self._budget = budget
        self._record = record
        self._first = opened.animation.first
        stated = opened.animation.durations_ms
        budget.check_num_frames(path, len(stated))
        self._durations_ms = [each if each >= _TOO_SHORT_MS else DEFAULT_FRAME_MS for each in stated]
        total_ms = sum(self._durations_ms)
        budget.check_duration(path, total_ms / 1000)
        if not opened.animation.is_whole:
            record.found_reasons.add(Reason.TRUNCATED)
        picture = opened.picture
        width_px, height_px = picture.size
        if orientation_of(picture) in (5, 6, 7, 8):
            width_px, height_px = height_px, width_px
        name = (picture.format or "").lower()
        self.info = MediaInfo(
            kind="video",
            container=name,
            codec=name,
            width_px=width_px,
            height_px=height_px,
            size_bytes=path.stat().st_size,
            duration_s=total_ms / 1000,
            fps=len(stated) * 1000 / total_ms if total_ms else None,
            num_frames=len(stated),
        )

    def frames(self, num_frames: int) -> Iterator[Frame]:
        """Yield frames spread evenly over the time that it plays."""
        watch = Stopwatch()
        picture = self._opened.picture
        starts_ms = [0.0, *accumulate(self._durations_ms)]
        count = 0
        next_number = 0
        for index, ordinal in enumerate(spread(self._durations_ms, num_frames)):
            try:
                # one by one, since Pillow decodes all frames on the way and the clock must be looked at
                while next_number <= ordinal + self._first:
                    if watch.elapsed_s > self._budget.max_wall_s:
                        self._record.found_reasons.add(Reason.TIME_BUDGET)
                        return
                    picture.seek(next_number)
                    picture.load()
                    next_number += 1
            except DAMAGED:
                self._record.found_reasons.add(Reason.TRUNCATED)
                return
            rgb = to_rgb(self._path, picture, self._opened.colours, self._record)
            count += 1
            watch.pause()
            yield Frame(index=index, time_s=starts_ms[ordinal] / 1000, rgb=rgb)
            watch.resume()
        self._record.add(
            NoteCode.SEARCHED,
            f"searched {count} of {len(self._durations_ms)} frames, over {starts_ms[-1] / 1000:.1f} s",
        )


def to_rgb(path: Path, picture: Image.Image, colours: Colours, record: Record) -> RGBImage:
    """Return a loaded picture as upright 8-bit sRGB `(height, width, 3)`; transparency shows `BACKGROUND`.

    Args:
        path: for messages.
        picture: loaded by Pillow.
        colours: what the file says of its colours.
        record: gets what was converted.

    Raises:
        MediaError: the picture holds 32-bit numbers, which have no agreed black and white.
    """
    if picture.mode in ("I", "F"):
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: pixels are 32-bit numbers of unknown range; convert the picture to 8 or 16 bit",
        )
    orientation = orientation_of(picture)
    profile = colours.profile or picture.info.get("icc_profile")
    flat = _flat(picture, record)
    is_profiled = False
    if isinstance(profile, bytes) and not (colours.transfer and is_hdr(colours.transfer)):
        is_profiled = True
        if flat.mode not in ("L", "RGB", "CMYK"):
            flat = flat.convert("L" if flat.mode == "1" else "RGB")
        converted = profile_to_srgb(flat, profile)
        if converted is not None:
            record.add(NoteCode.COLOUR_CONVERTED, "its colour profile was converted to sRGB")
            flat = converted
    method = _TRANSPOSE.get(orientation)
    upright = flat if method is None else flat.transpose(method)
    rgb = np.ascontiguousarray(upright if upright.mode == "RGB" else upright.convert("RGB"))
    return rgb if is_profiled else _in_srgb(rgb, colours, record)


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGED:
        return 1


def _flat(picture: Image.Image, record: Record) -> Image.Image:
    """Return the picture with 8 bits a channel and without transparency."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture
    full = picture.convert("RGBA")
    if picture.format == "BMP" and full.getchannel("A").getextrema() == (0, 0):
        record.add(NoteCode.ALPHA_IGNORED, "its transparency was never written: no pixel is opaque")
        return full.convert("RGB")
    flat = Image.alpha_composite(Image.new("RGBA", full.size, (*BACKGROUND, 255)), full)
    return flat.convert("L" if picture.mode == "LA" else "RGB")


def _in_srgb(rgb: RGBImage, colours: Colours, record: Record) -> RGBImage:
    """Return the pixels in sRGB by what the file says besides a profile."""
    if colours.transfer is not None:
        primaries = colours.primaries or 1
        if not needs_conversion(colours.transfer, primaries):
            return rgb
        record.colour_converted(is_hdr=is_hdr(colours.transfer))
        return to_srgb(rgb, transfer=colours.transfer, primaries=primaries)
    is_odd_gamma = colours.gamma is not None and 0.1 < colours.gamma < 10 and abs(colours.gamma - 2.2) > 0.1
    points = colours.chromaticities
    is_odd_space = points is not None and not np.allclose(points, _SRGB_POINTS, atol=0.01)
    if not (is_odd_gamma or is_odd_space):
        return rgb
    try:
        converted = to_srgb(
            rgb,
            transfer=1,
            primaries=points if is_odd_space and points is not None else 1,
            gamma=colours.gamma if is_odd_gamma else None,
        )
    except np.linalg.LinAlgError:
        return rgb
    record.add(NoteCode.COLOUR_CONVERTED, "its gamma and primaries were converted to sRGB")
    return converted


_SRGB_POINTS = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))


def _pages(picture: Image.Image, budget: MediaBudget, record: Record) -> list[int]:
    """Return which pages of a TIFF are searched, the largest first; pages that repeat it smaller are not."""
    if picture.format != "TIFF":
        return [0]
    sizes: list[tuple[int, int]] = []
    reduced: set[int] = set()
    for page in range(MAX_PAGES + 1):
        try:
            picture.seek(page)
        except DAMAGED:
            break
        sizes.append(picture.size)
        if int(getattr(picture, "tag_v2", {}).get(_SUBFILE_TYPE, 0)) & _REDUCED_PAGE:
            reduced.add(page)
    order = sorted(range(len(sizes)), key=lambda page: (-sizes[page][0] * sizes[page][1], page))
    largest = sizes[order[0]] if order else (1, 1)
    searched: list[int] = []
    for page in order:
        width_px, height_px = sizes[page]
        is_like = abs(width_px * largest[1] / (height_px * largest[0]) - 1) < 0.03
        is_small = max(width_px, height_px) <= min(MAX_THUMBNAIL_PX, max(largest) / 2)
        if page != order[0] and (page in reduced or (is_like and is_small)):
            record.add(NoteCode.STREAM_SKIPPED, f"page {page + 1}, {width_px} x {height_px}, is a small copy")
        elif len(searched) < budget.max_streams and page < MAX_PAGES:
            searched.append(page)
        else:
            record.add(
                NoteCode.STREAM_SKIPPED,
                f"only {budget.max_streams} pages of {len(sizes)} were searched",
                Reason.PART_NOT_SEARCHED,
            )
    picture.seek(0)
    return searched or [0]
