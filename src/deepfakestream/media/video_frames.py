"""A decoded video frame as a viewer sees it: deinterlaced, upright, with square pixels, in sRGB."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import av.filter
import numpy as np
from av.sidedata.sidedata import Type as SideData
from PIL import Image

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.colour import is_hdr, needs_conversion, profile_to_srgb, to_srgb
from deepfakestream.media.types import MediaBudget, NoteCode, Record, RGBImage

SQUARE_TOLERANCE = 0.015
"""How far from square pixels may be and still be left alone: stretching blurs every pixel."""
MAX_PIXEL_ASPECT = 8.0
"""Pixels more oblong than this, or than its inverse, are a mistake in the header."""
MIN_DETERMINANT = 0.1
"""Of a display matrix with columns of length one; below, it shows nothing and is ignored."""
_TURN = np.array([[0, 1], [-1, 0]])
_MIRROR = np.array([[-1, 0], [0, 1]])


def orientation(matrix: bytes) -> tuple[int, bool]:
    """Return the quarter turns against the clock, 0-3, after mirroring left and right or not.

    The nearest of the eight ways in which a picture can lie; a matrix that shows nothing changes nothing.
    """
    if len(matrix) < 36:
        return 0, False
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32, count=5).astype(np.float64)
    lengths = np.hypot([a, c], [b, d])
    if not lengths.all():
        return 0, False
    columns = np.array([[a, c], [b, d]]) / lengths
    if abs(np.linalg.det(columns)) < MIN_DETERMINANT:
        return 0, False
    ways = [(turns, mirrored) for mirrored in (False, True) for turns in range(4)]
    fits = [
        float((columns * (np.linalg.matrix_power(_TURN, turns) @ (_MIRROR if mirrored else np.eye(2)))).sum())
        for turns, mirrored in ways
    ]
    return ways[int(np.argmax(fits))]


def picture_orientation(picture: Any) -> tuple[int, bool]:
    """Return how a decoded frame is made upright: see `orientation`."""
    for data in picture.side_data:
        if data.type == SideData.DISPLAYMATRIX:
            return orientation(bytes(data))
    return 0, False


def square_size(
    width_px: int, height_px: int, pixel_aspect: Fraction | None, max_pixels: int
) -> tuple[int, int]:
    """Return the size at which pixels are square: the shorter side of a pixel is stretched, none is shrunk.

    Where that would be over the limit, the longer side is shrunk instead.

    Args:
        width_px: of the decoded frame.
        height_px: of the decoded frame.
        pixel_aspect: width of a pixel over its height; None: square.
        max_pixels: limit of the result.
    """
    aspect = float(pixel_aspect) if pixel_aspect else 1.0
    if abs(aspect - 1) <= SQUARE_TOLERANCE or not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
        return width_px, height_px
    wide = max(1, round(width_px * aspect)), height_px
    tall = width_px, max(1, round(height_px / aspect))
    stretched, shrunk = (wide, tall) if aspect > 1 else (tall, wide)
    return stretched if stretched[0] * stretched[1] <= max_pixels else shrunk


def viewed_size(width_px: int, height_px: int, turns: int) -> tuple[int, int]:
    """Return width and height after quarter turns.

    Args:
        width_px: before.
        height_px: before.
        turns: quarter turns.
    """
    return (height_px, width_px) if turns % 2 else (width_px, height_px)


def deinterlaced(before: Any | None, picture: Any, after: Any | None) -> Any:
    """Return an interlaced frame with all its rows at one moment, by its neighbours in time.

    bwdif of FFmpeg (after Weston 3-field deinterlacing, BBC); where that fails the frame as it is.

    Args:
        before: the frame before in time, if there is one.
        picture: the interlaced frame.
        after: the frame after in time, if there is one.
    """
    kind = picture.width, picture.height, picture.format.name
    neighbours = [
        frame
        for frame in (before, picture, after)
        if frame is not None and (frame.width, frame.height, frame.format.name) == kind
    ]
    position = next(k for k, frame in enumerate(neighbours) if frame is picture)
    try:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=Fraction(1, 1000),
        )
        graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=all"), graph.add("buffersink"))
        graph.configure()
        times = [frame.pts for frame in neighbours]
        for number, frame in enumerate(neighbours):
            frame.pts = number
            graph.push(frame)
        for frame, time in zip(neighbours, times, strict=True):
            frame.pts = time
        graph.push(None)
        result = picture
        for _ in range(position + 1):
            result = graph.pull()
    except (av.error.FFmpegError, OSError, ValueError):
        return picture
    return result


def viewed_rgb(
    path: Path, picture: Any, *, pixel_aspect: Fraction | None, budget: MediaBudget, record: Record
) -> RGBImage:
    """Return a decoded frame as a viewer sees it, `(height, width, 3)`, RGB, 0-255.

    The stream's colour matrix and range apply; where it states none, BT.601, as common decoders assume.

    Args:
        path: for messages.
        picture: decoded frame of PyAV.
        pixel_aspect: width of a pixel over its height; None: square.
        budget: most pixels of the result.
        record: gets what was converted.

    Raises:
        MediaError: its colours cannot be turned into RGB.
    """
    turns, is_mirrored = picture_orientation(picture)
    size_px = square_size(picture.width, picture.height, pixel_aspect, budget.max_pixels)
    transfer, primaries = int(picture.color_trc), int(picture.color_primaries)
    is_converted = needs_conversion(transfer, primaries)
    try:
        pixels = _rgb(picture, size_px, "rgb48le" if is_converted else "rgb24")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            Reason.UNSUPPORTED_FORMAT,
            f"{path.name}: its colours (matrix {int(picture.colorspace)}) cannot be turned into RGB; "
            "convert the video to BT.709",
        ) from error
    if is_converted:
        record.colour_converted(is_hdr=is_hdr(transfer))
        pixels = to_srgb(pixels, transfer=transfer, primaries=primaries, is_video=True)
    elif profiles := [bytes(data) for data in picture.side_data if data.type == SideData.ICC_PROFILE]:
        converted = profile_to_srgb(Image.fromarray(pixels), profiles[0])
        if converted is not None:
            pixels = np.asarray(converted)
            record.add(NoteCode.COLOUR_CONVERTED, "its colour profile was converted to sRGB")
    if size_px != (picture.width, picture.height):
        record.add(
            NoteCode.STRETCHED,
            f"pixels are not square: {picture.width} x {picture.height} became {size_px[0]} x {size_px[1]}",
        )
    if is_mirrored or turns:
        how = " and ".join(["mirrored"] * is_mirrored + [f"turned by {90 * turns} degrees"] * (turns > 0))
        record.add(NoteCode.TURNED, f"the picture was {how}, as its display matrix says")
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if is_mirrored else pixels, turns))


def _rgb(picture: Any, size_px: tuple[int, int], pixel_format: str) -> Any:
    if size_px == (picture.width, picture.height):
        return picture.to_ndarray(format=pixel_format)
    scaled = picture.reformat(
        width=size_px[0], height=size_px[1], format=pixel_format, interpolation="BICUBIC"
    )
    return scaled.to_ndarray()
