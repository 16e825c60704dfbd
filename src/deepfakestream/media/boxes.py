"""Boxes of MP4, QuickTime and AVIF files (ISO/IEC 14496-12): walked, and their counts checked.

FFmpeg believes the counts in a header and takes gigabytes for a file of some kilobytes, so they are compared
with the file's size before.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from deepfakestream.errors import MediaError, Reason

MAX_SAMPLES = 2_000_000
"""Frames of one track: 18 hours at 30 a second."""
MAX_BOXES = 400_000
MAX_HEADER_BYTES = 128_000_000
MAX_DEPTH = 16
"""Of boxes within boxes; films have about eight."""
_NESTED = frozenset(
    {
        b"moov",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"edts",
        b"mvex",
        b"moof",
        b"traf",
        b"udta",
        b"dinf",
        b"wave",
    }
)
"""Boxes in which FFmpeg looks for others, wherever they stand."""
_TABLES = frozenset(
    {b"hdlr", b"mdhd", b"stsd", b"stsz", b"stz2", b"stts", b"ctts", b"elst", b"trun", b"cmov"}
)
_HEADERS = _NESTED | _TABLES | {b"meta", b"mvhd"}
_DISGUISES = frozenset({b"free", b"hoov"})
"""Boxes that FFmpeg takes for `moov` where they hold its first box."""
_HANDLER = re.compile(rb"hdlr")
_ENTRY_HEADS = (16, 36, 52, 72, 86)
"""Where the boxes of a sample entry may begin: other data, sound of three versions, pictures."""


def boxes(
    data: bytes | memoryview, start: int = 0, end: int | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each ISO box in a piece of memory.

    Args:
        data: bytes of a file.
        start: position of the first box.
        end: position after the last box; None: the end of `data`.
    """
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            content = start + 16
        elif length == 0:
            length = end - start
        if length < content - start:
            return
        yield name, content, min(start + length, end)
        start += length


@dataclass(slots=True)
class _Track:
    samples: int = 0
    sample_bytes: int = 0
    is_picture: bool = False
    is_sound: bool = False
    protection: bytes = b""
    is_evenly_timed: bool = False
    timed: int = 0
    ticks: int = 0
    offset_entries: int = 0
    timescale: int = 0
    edits: tuple[int, float] = (0, 0.0)


@dataclass(slots=True)
class _Movie:
    timescale: int = 0
    tracks: list[_Track] = field(default_factory=list)
    fragment_samples: int = 0
    num_boxes: int = 0
    num_bytes: int = 0
    """Read so far, those of boxes within boxes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieFacts:
    """What the boxes of a film say before anything is decoded."""

    protections: frozenset[bytes]
    """Types of the sample entries of its picture tracks."""
    is_joined: bool
    """Whether a second file follows the first."""
    has_header: bool


def read_movie(path: Path, file: IO[bytes], size: int) -> MovieFacts:
    """Return the facts of an MP4 or QuickTime file; of other files, that they have no header.

    Args:
        path: for messages.
        file: open for reading.
        size: of the file in bytes.

    Raises:
        MediaError: its header claims more than the file can hold, or than any film has.
    """
    movie = _Movie()
    kinds: list[bytes] = []
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(24)
        length, name = struct.unpack_from(">I4s", header)
        skipped = 8
        if length == 1 and len(header) >= 16:
            (length,) = struct.unpack_from(">Q", header, 8)
            skipped = 16
        elif length == 0:
            length = size - position
        if length < skipped:
            break
        movie.num_boxes += 1
        _check_boxes(path, movie)
        name = _meant(name, header[skipped:])
        kinds.append(name)
        if name in _HEADERS:
            num_bytes = min(length, size - position)  # a damaged length may claim exabytes
            if num_bytes > MAX_HEADER_BYTES:
                raise _too_costly(path, "a header of more than 128 MB")
            file.seek(position + skipped)
            content = file.read(max(0, num_bytes - skipped))
            _read_box(path, movie, name, memoryview(content), size, depth=0)
        position += length
    _check_samples(path, movie, size)
    return MovieFacts(
        protections=frozenset(track.protection for track in movie.tracks if track.is_picture),
        is_joined=kinds.count(b"moov") > 1 and kinds.count(b"ftyp") > 1 and not movie.fragment_samples,
        has_header=b"moov" in kinds,
    )


def _check_boxes(path: Path, movie: _Movie) -> None:
    if movie.num_boxes > MAX_BOXES:
        raise _too_costly(path, f"more than {MAX_BOXES} boxes")


def _meant(name: bytes, content: bytes | memoryview) -> bytes:
    """Return the name by which FFmpeg goes: `moov` may be disguised."""
    return b"moov" if name in _DISGUISES and bytes(content[4:8]) in (b"mvhd", b"cmov") else name


def _read_boxes(path: Path, movie: _Movie, data: memoryview, file_size: int, depth: int) -> None:
    for name, start, end in boxes(data):
        movie.num_boxes += 1
        _check_boxes(path, movie)
        meant = _meant(name, data[start:end])
        if meant in _HEADERS:
            _read_box(path, movie, meant, data[start:end], file_size, depth)


def _read_box(
    path: Path, movie: _Movie, name: bytes, content: memoryview, file_size: int, depth: int
) -> None:
    """Take note of a box as FFmpeg would: it does not ask in which other box one stands."""
    movie.num_bytes += len(content)
    if depth > MAX_DEPTH or movie.num_bytes > MAX_DEPTH * (file_size + MAX_HEADER_BYTES):
        raise _too_costly(path, "boxes within boxes, again and again")
    if name == b"trak" or (name in _TABLES and not movie.tracks):
        movie.tracks.append(_Track())
    if name in _TABLES:
        _read_table(movie.tracks[-1], name, bytes(content))
    elif name == b"mvhd":
        movie.timescale = _number(content, 20 if bytes(content[:1]) == b"\x01" else 12)
    if name == b"trun":
        movie.fragment_samples += _run_samples(path, content, file_size)
    for data in _inner(path, name, content):
        _read_boxes(path, movie, data, file_size, depth + 1)


def _inner(path: Path, name: bytes, content: memoryview) -> list[memoryview]:
    """Return where in a box others may stand, by all readings of it."""
    if name == b"cmov":
        return [memoryview(_uncompressed_header(path, content))]
    if name == b"meta":  # its boxes begin with `hdlr`, with or without a version before
        starts = (found.start() for found in _HANDLER.finditer(content))
        return [content[at - 4 :] for at in starts if at >= 4 and at % 4 == 0][:1]
    if name == b"stsd":
        return [content[8 + at :] for at in _ENTRY_HEADS]
    return [content] if name in _NESTED else []


def _uncompressed_header(path: Path, content: memoryview) -> bytes:
    for name, start, _ in boxes(content):
        if name == b"cmvd":
            unpacker = zlib.decompressobj()
            try:
                header = unpacker.decompress(content[start + 4 :], MAX_HEADER_BYTES)
            except zlib.error:
                return b""
            if unpacker.unconsumed_tail:
                raise _too_costly(path, "a compressed header of more than 128 MB")
            inner = next(boxes(header), None)
            return header[inner[1] :] if inner else b""
    return b""


def _read_table(track: _Track, name: bytes, content: bytes) -> None:
    if name == b"hdlr" and content[4:8] != b"dhlr":  # QuickTime has another one for the data
        track.is_picture |= content[8:12] == b"vide"
        track.is_sound |= content[8:12] == b"soun"
    elif name == b"mdhd":
        track.timescale = _number(content, 20 if content[:1] == b"\x01" else 12)
    elif name == b"stsd":
        track.protection = bytes(content[12:16])
    elif name in (b"stsz", b"stz2"):
        track.sample_bytes = _number(content, 4) if name == b"stsz" else 0
        track.samples = max(track.samples, _number(content, 8))
    elif name == b"stts":
        counts, lengths = _table(content, 2).T
        track.timed, track.ticks = int(counts.sum()), int(counts @ lengths)
        track.is_evenly_timed = lengths.tolist() == [1.0]
    elif name == b"ctts":
        track.offset_entries = int(_table(content, 2)[:, 0].sum())
    elif name == b"elst":
        entries = _table(content, 5 if content[:1] == b"\x01" else 3)
        lengths = entries[:, 0] if entries.shape[1] == 3 else entries[:, 0] * 2.0**32 + entries[:, 1]
        track.edits = len(entries), float(lengths.sum())


def _table(content: bytes, width: int) -> NDArray[np.float64]:
    """Return the entries `(N, width)` of a table of 32-bit numbers, as many as are claimed and there."""
    room = max(0, (len(content) - 8) // (4 * width))
    stated = _number(content, 4)
    entries = np.frombuffer(content[8 : 8 + 4 * width * min(stated, room)], dtype=">u4")
    return entries.astype(np.float64).reshape(-1, width)


def _number(content: bytes | memoryview, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "big")


def _run_samples(path: Path, content: memoryview, file_size: int) -> int:
    flags, count = _number(content, 0), _number(content, 4)
    width = 4 * (flags >> 8 & 0xF).bit_count()
    room = (len(content) - 8) // width if width else file_size
    if count > room + 1:
        raise _too_costly(path, f"{count} samples in a fragment that has room for {room}")
    return count


def _check_samples(path: Path, movie: _Movie, size: int) -> None:
    total = movie.fragment_samples
    for track in movie.tracks:
        # FFmpeg keeps such sound by chunks; for all else it keeps a record of each sample
        is_plain_sound = track.is_sound and track.sample_bytes > 0 and track.is_evenly_timed
        is_plain_sound &= not track.is_picture
        if track.samples * max(track.sample_bytes, 1) > size + 1000:
            raise _too_costly(path, f"{track.samples} samples, more than the file can hold")
        if is_plain_sound:
            continue
        claimed = max(track.samples, track.timed, track.offset_entries, _edited_samples(movie, track))
        if claimed > MAX_SAMPLES:
            raise _too_costly(path, f"{claimed} samples in one track")
        total += claimed
    if total > 2 * MAX_SAMPLES:
        raise _too_costly(path, f"{total} samples in all tracks")


def _edited_samples(movie: _Movie, track: _Track) -> int:
    """Return how many samples an edit list shows: it may show the same ones many times."""
    count, shown = track.edits
    if count < 2 or not (movie.timescale and track.timescale and track.ticks):
        return 0
    return int(track.samples * (shown / movie.timescale) / (track.ticks / track.timescale))


def _too_costly(path: Path, what: str) -> MediaError:
    return MediaError(
        Reason.UNREADABLE,
        f"{path.name}: damaged or made to harm: its header claims {what}; get a whole copy, or re-encode it",
    )
