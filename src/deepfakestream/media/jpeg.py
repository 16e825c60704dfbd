"""JPEG files: how they are coded, how strongly they were compressed, and decoding whole, large and cut ones.

Of a file whose end is missing only what was decoded fully is shown: the rows of a sequential picture, the
scans of a progressive one. libjpeg would fill the rest with grey, and half a face is no face.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.types import MediaBudget, NoteCode, Record

MAX_SCANS = 100
"""Encoders write about ten; each costs a pass over the whole picture."""
MAX_REDUCED_PIXELS = 256_000_000
"""Pixels of a picture that is decoded at a smaller size: the largest phone cameras have 200 million."""
MAX_COEFFICIENT_BYTES = 800_000_000
"""What libjpeg may keep in memory of a picture that is coded in several scans."""
MAX_FILE_BYTES = 512_000_000
"""A JPEG is read as a whole; the largest photographs have a tenth of this."""
DAMAGED_JPEG = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, ArithmeticError)

_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""Ends a scan: no stuffed byte, no restart."""
_START_OF_SCAN, _END = 0xDA, 0xD9
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_FRAMES = frozenset({*range(0xC0, 0xD0)}) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_READABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive, by Huffman or arithmetic coding."""

# ISO/IEC 10918-1, table K.1: luminance, which libjpeg scales by the quality setting.
# fmt: off
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
], dtype=np.int64)
# fmt: on
_QUALITIES = np.arange(1, 101)
_SCALES = np.where(_QUALITIES < 50, 5000 // _QUALITIES, 200 - 2 * _QUALITIES)
_TABLE_SUMS = np.clip((_LUMINANCE[None] * _SCALES[:, None] + 50) // 100, 1, 255).sum(axis=1)


def estimate_quality(tables: Mapping[int, Sequence[int]]) -> int | None:
    """Return the libjpeg quality, 1 to 100, whose luminance table is nearest; None without a table.

    Exact for files written by libjpeg's standard tables; for others the quality of like strength.
    """
    if not tables:
        return None
    total = sum(tables[min(tables)])
    return int(_QUALITIES[np.abs(_TABLE_SUMS - total).argmin()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One pass over the coefficients."""

    end: int
    """Where its coded data end, in bytes of the file."""
    is_whole: bool
    components: frozenset[int]
    band: tuple[int, int]
    """First and last coefficient, in zigzag order, that it codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a JPEG is coded."""

    frame: int
    """Marker of its frame: baseline, progressive, arithmetic …"""
    size_px: tuple[int, int]
    components: tuple[tuple[int, int, int], ...]
    """Identifier, horizontal and vertical sampling of each."""
    scans: tuple[Scan, ...]
    is_whole: bool
    """Whether the end is there."""

    @property
    def is_sequential(self) -> bool:
        """Whether all coefficients of a row come together."""
        return self.frame in _SEQUENTIAL and len(self.scans) == 1

    @property
    def coefficient_bytes(self) -> int:
        """What libjpeg keeps in memory while it decodes."""
        if self.is_sequential:
            return 0
        widest = max((h * v for _, h, v in self.components), default=1)
        share = sum(h * v for _, h, v in self.components) / max(widest, 1)
        return round(2 * self.size_px[0] * self.size_px[1] * share)


def read_coding(data: bytes) -> Coding | None:
    """Return how a JPEG is coded; None where no frame header is found."""
    position, frame = 2, 0
    size_px = (0, 0)
    components: tuple[tuple[int, int, int], ...] = ()
    scans: list[Scan] = []
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = data[found.end() - 1], found.end()
        if marker == _END:
            break
        if marker in _ALONE:
            continue
        content = data[position + 2 : position + int.from_bytes(data[position : position + 2], "big")]
        position += 2 + len(content)
        if marker in _FRAMES and len(content) >= 6 and not frame:
            frame = marker
            size_px = int.from_bytes(content[3:5], "big"), int.from_bytes(content[1:3], "big")
            parts = [content[k : k + 3] for k in range(6, len(content) - 2, 3)]
            components = tuple((part[0], part[1] >> 4, part[1] & 15) for part in parts)
        elif marker == _START_OF_SCAN and len(content) >= 6:
            following = _MARKER.search(data, position)
            position = following.start() if following else len(data)
            count = content[0]
            scans.append(
                Scan(
                    end=position,
                    is_whole=following is not None,
                    components=frozenset(content[1 : 1 + 2 * count : 2]),
                    band=(content[-3], content[-2]),
                )
            )
            if len(scans) > MAX_SCANS:
                break
    if not frame:
        return None
    return Coding(
        frame=frame, size_px=size_px, components=components, scans=tuple(scans), is_whole=found is not None
    )


class Jpeg:
    """A JPEG in memory: Pillow's view of its header, and the decoding."""

    def __init__(self, path: Path, budget: MediaBudget) -> None:
        """Read the file and its header.

        Raises:
            MediaError: it is damaged, coded in a way that is not read, or over the budget.
        """
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MediaError(
                Reason.TOO_MANY_PIXELS, f"{path.name}: more than 512 MB; save the picture again, smaller"
            )
        self._path = path
        self._data = data = path.read_bytes()
        coding = read_coding(data)
        try:
            self.header = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        except DAMAGED_JPEG as error:
            raise self._refusal(coding, error) from error
        if coding is None or coding.frame not in _READABLE:
            raise self._refusal(coding, None)
        self.coding = coding
        self.reduction = self._reduction(budget)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as decoded, before the orientation is applied."""
        width_px, height_px = self.coding.size_px
        return -(-width_px // self.reduction), -(-height_px // self.reduction)

    def decode(self, record: Record) -> Image.Image:
        """Return the decoded picture; `record` says what is missing and whether it was reduced.

        Raises:
            MediaError: not a single row or scan is whole.
        """
        if self.reduction > 1:
            width_px, height_px = self.coding.size_px
            record.add(
                NoteCode.SCALED_DOWN,
                f"decoded at 1/{self.reduction} of its size, which is {width_px} x {height_px} pixels",
            )
        picture = self._open(self._data, self.reduction)
        try:
            picture.load()
        except DAMAGED_JPEG as error:
            return self._decode_cut(picture, record, error)
        return picture

    def _open(self, data: bytes, reduction: int) -> JpegImagePlugin.JpegImageFile:
        picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        # All bytes at once: libjpeg's arithmetic decoder cannot wait for more.
        picture.decodermaxblock = len(data) + 1
        if reduction > 1:
            picture.draft(None, (picture.width // reduction, picture.height // reduction))
        return picture

    def _decode_cut(
        self, picture: JpegImagePlugin.JpegImageFile, record: Record, error: Exception
    ) -> Image.Image:
        if not self.coding.is_sequential:
            return self._decode_whole_scans(record, error)
        if (whole := self._decode_without_end()) is not None:
            return whole
        picture.tile = []  # what was decoded until the end stays, and rows that were not are zero
        picture.load()
        rows = np.flatnonzero(np.asarray(picture).reshape(picture.height, -1).any(axis=1))
        if not len(rows):
            raise self._damaged(error)
        shown = int(rows[-1]) + 1
        record.add(
            NoteCode.PART_SKIPPED,
            f"the end is missing: {shown} of {picture.height} rows can be read",
            Reason.TRUNCATED,
        )
        upper = picture.crop((0, 0, picture.width, shown))
        upper.info = picture.info
        return upper

    def _decode_without_end(self) -> Image.Image | None:
        """Return the picture where nothing but the mark of its end is missing, else None.

        Then libjpeg passes over bytes that are put behind the data; else it takes them for pixels.
        """
        data = self._data.rstrip(b"\xff")
        pictures = [self._open(data + extra + b"\xff\xd9", self.reduction) for extra in (b"", b"\x5a" * 64)]
        try:
            for picture in pictures:
                picture.load()
        except DAMAGED_JPEG:
            return None
        return pictures[0] if pictures[0].tobytes() == pictures[1].tobytes() else None

    def _decode_whole_scans(self, record: Record, error: Exception) -> Image.Image:
        whole = [scan for scan in self.coding.scans if scan.is_whole]
        finest = _finest_reduction(whole, self.coding.components[0][0] if self.coding.components else 0)
        if finest is None:
            raise self._damaged(error)
        picture = self._open(self._data[: whole[-1].end] + b"\xff\xd9", max(finest, self.reduction))
        try:
            picture.load()
        except DAMAGED_JPEG as again:
            raise self._damaged(again) from again
        record.add(
            NoteCode.PART_SKIPPED,
            f"the end is missing: {len(whole)} scans can be read, "
            f"enough for {'the full size' if finest == 1 else f'1/{finest} of its size'}",
            Reason.TRUNCATED,
        )
        return picture

    def _reduction(self, budget: MediaBudget) -> int:
        width_px, height_px = self.coding.size_px
        if len(self.coding.scans) > MAX_SCANS:
            raise MediaError(
                Reason.TIME_BUDGET,
                f"{self._path.name}: more than {MAX_SCANS} scans would take too long; save it again",
            )
        for reduction in (1, 2, 4, 8):
            if -(-width_px // reduction) * -(-height_px // reduction) <= budget.max_pixels:
                break
        else:
            reduction = 0
        is_huge = width_px * height_px > max(MAX_REDUCED_PIXELS, budget.max_pixels)
        if not reduction or is_huge or self.coding.coefficient_bytes > MAX_COEFFICIENT_BYTES:
            raise MediaError(
                Reason.TOO_MANY_PIXELS,
                f"{self._path.name}: {width_px} x {height_px} pixels exceed the limit of {budget.max_pixels} "
                "pixels, even at 1/8 of its size; scale it down or raise the limit",
            )
        return reduction

    def _refusal(self, coding: Coding | None, error: Exception | None) -> MediaError:
        if coding is not None and coding.frame not in _READABLE:
            return MediaError(
                Reason.UNSUPPORTED_FORMAT,
                f"{self._path.name}: a lossless or hierarchical JPEG, which is not read; convert it to PNG",
            )
        return MediaError(
            Reason.UNREADABLE,
            f"{self._path.name}: damaged, its header cannot be read ({error or 'no frame'}); get a copy",
        )

    def _damaged(self, error: Exception) -> MediaError:
        if self.coding.is_whole:
            return MediaError(
                Reason.UNREADABLE, f"{self._path.name}: the picture is damaged ({error}); get a whole copy"
            )
        return MediaError(
            Reason.TRUNCATED, f"{self._path.name}: the file ends before any picture; get a whole copy"
        )


def _finest_reduction(scans: Sequence[Scan], luminance: int) -> int | None:
    """Return 1, 2, 4 or 8: the size over which the scans' coefficients of the luminance suffice; None: none.

    A reduction by 8 needs the mean of each block, one by 4 the first 2 x 2 coefficients, one by 2 the first
    4 x 4; in zigzag order these end at 0, 4 and 24.
    """
    known: set[int] = set()
    for scan in scans:
        if luminance in scan.components:
            known.update(range(scan.band[0], scan.band[1] + 1))
    last = next((k for k in range(65) if k not in known), 65) - 1
    for reduction, needed in ((1, 63), (2, 24), (4, 4), (8, 0)):
        if last >= needed:
            return reduction
    return None
