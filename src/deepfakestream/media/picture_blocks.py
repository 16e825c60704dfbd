"""What the blocks of picture files say, read without decoding: frames, their times, colours.

PNG 3 (W3C 2025), GIF89a (CompuServe 1990), WebP (RFC 9649) and AVIF (ISO/IEC 23008-12).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.boxes import boxes
from deepfakestream.media.colour import MAX_PROFILE_BYTES, SRGB, Colours
from deepfakestream.media.types import Animation

MAX_CHUNKS = 100_000
"""Encoders write one for every 8 kB or more."""
MAX_TEXT_BYTES = 1_000_000
"""Longer texts are passed over: Pillow would refuse the whole picture."""
MAX_CHUNK_BYTES = 64 * MAX_TEXT_BYTES
"""Of anything but pixels."""
MAX_TEXTS_BYTES = 16 * MAX_TEXT_BYTES
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PIXELS = (b"IDAT", b"fdAT")


@dataclass(slots=True)
class PngFile:
    """The chunks of a PNG that matter, and the file without those that do not."""

    colours: Colours = field(default_factory=Colours)
    animation: Animation | None = None
    needless: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of chunks that Pillow would stumble over."""
    has_damaged_pixels: bool = False
    """Whether a check sum of pixels does not match; Pillow does not look."""

    def open(self, path: Path) -> IO[bytes]:
        """Return the file, without the needless chunks where there are any."""
        if not self.needless:
            return path.open("rb")
        bounds = [0, *(edge for chunk in self.needless for edge in chunk), path.stat().st_size]
        kept = io.BytesIO()
        with path.open("rb") as file:
            for start, end in zip(bounds[::2], bounds[1::2], strict=True):
                file.seek(start)
                kept.write(file.read(end - start))
        kept.seek(0)
        return kept


def read_png(path: Path) -> PngFile:
    """Return what the chunks of a PNG say.

    Raises:
        MediaError: it has more chunks than any encoder writes.
    """
    result = PngFile()
    times: list[tuple[int, int]] = []
    names: set[bytes] = set()
    is_first_shown = False
    text_bytes = 0
    for count, (name, content, start, end, is_whole) in enumerate(_png_chunks(path)):
        if count > MAX_CHUNKS:
            raise MediaError(
                Reason.UNREADABLE,
                f"{path.name}: more than {MAX_CHUNKS} chunks, made to harm; save the picture again",
            )
        if name == b"fcTL" and len(content) >= 24:
            times.append(struct.unpack_from(">HH", content, 20))
            is_first_shown = is_first_shown or b"IDAT" not in names
        elif name in _PIXELS:
            result.has_damaged_pixels |= not is_whole
        else:
            text_bytes += _text_length(name, content) if name in _TEXTS else 0
            is_long = text_bytes > MAX_TEXTS_BYTES or (
                _is_large_profile(result.colours, content)
                if name == b"iCCP"
                else name in _TEXTS and _text_length(name, content) > MAX_TEXT_BYTES
            )
            _read_colours(result.colours, name, content)
            if name[:1].islower() and (is_long or not is_whole):
                result.needless.append((start, end))
        names.add(name)
    if b"acTL" in names and times:
        durations = tuple(1000 * numerator / (denominator or 100) for numerator, denominator in times)
        has_end = b"IEND" in names
        result.animation = Animation(
            durations_ms=durations if has_end else durations[:-1],
            is_whole=has_end,
            first=0 if is_first_shown else 1,
        )
    return result


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes, int, int, bool]]:
    """Yield name, content (none of pixels and of what is too long), start, end and whether it is whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 8
        while position + 12 <= size:
            file.seek(position)
            length, name = struct.unpack(">I4s", file.read(8))
            end = position + 12 + length
            if end > size:
                return
            content, checksum = b"", zlib.crc32(name)
            if name not in _PIXELS and length <= MAX_CHUNK_BYTES:
                content = file.read(length)
                checksum = zlib.crc32(content, checksum)
            else:
                for done in range(0, length, 1 << 20):
                    checksum = zlib.crc32(file.read(min(1 << 20, length - done)), checksum)
            is_whole = checksum.to_bytes(4, "big") == file.read(4)
            is_whole = is_whole and (name in _PIXELS or length <= MAX_CHUNK_BYTES)
            yield name, content, position, end, is_whole
            if name == b"IEND":
                return
            position = end


def _text_length(name: bytes, content: bytes) -> int:
    """Return how long a text is once it is unpacked; no more than the limit is unpacked."""
    keyword_end = content.find(b"\0")
    if name == b"tEXt" or keyword_end < 0:
        return len(content)
    if name == b"zTXt":
        return _unpacked_length(content[keyword_end + 2 :])
    if content[keyword_end + 1 : keyword_end + 2] != b"\1":
        return len(content)
    text = content[keyword_end + 3 :].split(b"\0", 2)
    return _unpacked_length(text[2]) if len(text) == 3 else len(content)


def _unpacked_length(packed: bytes) -> int:
    return len(_unpacked(packed, MAX_TEXT_BYTES + 1) or b"")


def _unpacked(packed: bytes, at_most: int) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, at_most)
    except zlib.error:
        return None


def _is_large_profile(colours: Colours, content: bytes) -> bool:
    """Take a colour profile that is too long for Pillow; tell whether this is one, or none at all."""
    profile = _unpacked(content[content.find(b"\0") + 2 :], MAX_PROFILE_BYTES + 1)
    if profile is None or len(profile) <= MAX_TEXT_BYTES:
        return profile is None
    colours.profile = profile
    return True


def _read_colours(colours: Colours, name: bytes, content: bytes) -> None:
    """Note what a colour chunk says; cICP outdoes sRGB, and that outdoes gAMA and cHRM."""
    if name == b"cICP" and len(content) == 4:
        colours.primaries, colours.transfer = content[0], content[1]
    elif name == b"sRGB":
        colours.transfer = colours.transfer or SRGB
    elif name == b"gAMA" and len(content) == 4:
        stated = int.from_bytes(content, "big")
        colours.gamma = 100_000 / stated if stated else None
    elif name == b"cHRM" and len(content) == 32:
        white, red, green, blue = (np.frombuffer(content, dtype=">u4").reshape(4, 2) / 100_000).tolist()
        if all(y > 0 for _, y in (white, red, green, blue)):
            colours.chromaticities = tuple((x, y) for x, y in (red, green, blue, white))


MAX_FRAMES = 100_000
"""Of an AVIF sequence."""


_GIF_HEADER_BYTES = 13
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END = b"\x2c", b"\x21", (b"\x3b", b"")
_GIF_CONTROL = b"\xf9"
_GIF_DESCRIPTOR_BYTES = 9


def read_gif(path: Path, at_most: int) -> Animation:
    """Return the frames of a GIF, and no more than `at_most`: what comes after is not looked at.

    Bytes that begin no block are passed over, as Pillow does; a file that was cut off ends the counting.

    Args:
        path: the file.
        at_most: frames that are counted.
    """
    durations: list[float] = []
    delay_ms = 0.0
    kind = b""
    with path.open("rb") as file:
        _skip_gif_colours(file, file.read(_GIF_HEADER_BYTES)[10:11])
        while len(durations) < at_most and (kind := file.read(1)) not in _GIF_END:
            if kind == _GIF_EXTENSION and file.read(1) == _GIF_CONTROL:
                block = file.read(1)
                content = file.read(block[0]) if block else b""
                delay_ms = 10.0 * int.from_bytes(content[1:3], "little")
                _skip_gif_data(file)
            elif kind == _GIF_EXTENSION:
                _skip_gif_data(file)
            elif kind == _GIF_IMAGE:
                _skip_gif_colours(file, file.read(_GIF_DESCRIPTOR_BYTES)[8:9])
                file.read(1)  # the size of the first code
                if _skip_gif_data(file):
                    durations.append(delay_ms)
                    delay_ms = 0.0
    return Animation(durations_ms=tuple(durations), is_whole=kind == b"\x3b" or len(durations) >= at_most)


def _skip_gif_colours(file: IO[bytes], flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), 1)


def _skip_gif_data(file: IO[bytes]) -> bool:
    """Pass over blocks of data; tell whether their end was there."""
    while (length := file.read(1)) not in (b"", b"\0"):
        file.seek(length[0], 1)
    return length == b"\0"


def read_webp(path: Path) -> Animation | None:
    """Return the frames of an animated WebP; None for a still one."""
    size = path.stat().st_size
    durations: list[float] = []
    is_animated = False
    with path.open("rb") as file:
        stated = 8 + int.from_bytes(file.read(8)[4:8], "little")
        position = 12
        while position + 8 <= min(size, stated):
            file.seek(position)
            header = file.read(24)
            length = int.from_bytes(header[4:8], "little")
            end = position + 8 + length
            if header[:4] == b"ANIM":
                is_animated = True
            elif header[:4] == b"ANMF" and end <= size:
                durations.append(float(int.from_bytes(header[20:23], "little")))
            position = end + length % 2
    return Animation(durations_ms=tuple(durations), is_whole=stated <= size) if is_animated else None


def read_avif(path: Path) -> tuple[Animation | None, Colours]:
    """Return the frames of an AVIF sequence, None for a still one, and what it says about its colours."""
    colours = Colours()
    durations: list[float] = []
    has_movie = False
    for name, content in _top_boxes(path):
        if name == b"meta":
            _read_avif_colours(colours, content)
        elif name == b"moov":
            has_movie = True
            durations = _avif_durations(content)
    animation = Animation(durations_ms=tuple(durations), is_whole=True) if has_movie and durations else None
    return animation, colours


def _top_boxes(path: Path) -> Iterator[tuple[bytes, bytes]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size:
            file.seek(position)
            length, name = struct.unpack(">I4s", file.read(8))
            if length < 8:
                return
            if name in (b"meta", b"moov"):
                yield name, file.read(min(length - 8, 16_000_000))
            position += length


def _read_avif_colours(colours: Colours, meta: bytes) -> None:
    for name, start, end in boxes(meta, 4):
        if name != b"iprp":
            continue
        for inner, inner_start, inner_end in boxes(meta, start, end):
            if inner != b"ipco":
                continue
            for item, at, _ in boxes(meta, inner_start, inner_end):
                if item == b"colr" and meta[at : at + 4] == b"nclx" and colours.transfer is None:
                    colours.primaries, colours.transfer = struct.unpack_from(">HH", meta, at + 4)


def _avif_durations(movie: bytes) -> list[float]:
    """Return the durations of the first picture track."""
    for name, start, end in boxes(movie):
        if name != b"trak":
            continue
        found = {inner: (a, b) for inner, a, b in _all_boxes(movie, start, end)}
        handler = found.get(b"hdlr")
        if not handler or movie[handler[0] + 8 : handler[0] + 12] != b"pict" or b"stts" not in found:
            continue
        header, table = found.get(b"mdhd", (0, 0))[0], found[b"stts"][0]
        at = header + (20 if movie[header : header + 1] == b"\x01" else 12)
        scale = int.from_bytes(movie[at : at + 4], "big") or 1000
        entries = [struct.unpack_from(">II", movie, k) for k in range(table + 8, found[b"stts"][1] - 7, 8)]
        durations: list[float] = []
        for count, ticks in entries:
            durations += [1000 * ticks / scale] * min(count, MAX_FRAMES - len(durations))
        return durations
    return []


def _all_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for name, inner, inner_end in boxes(data, start, end):
        yield name, inner, inner_end
        if name in (b"mdia", b"minf", b"stbl"):
            yield from _all_boxes(data, inner, inner_end)
