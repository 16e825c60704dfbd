"""Boxes of MP4, QuickTime and AVIF files (ISO/IEC 14496-12): walked, and their counts checked.

FFmpeg believes the counts in a header and takes gigabytes for a file of some kilobytes, so they are compared
with the file's size before.
"""

from __future__ import annotations

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
_NESTED = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf"})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieFacts:
    """What the boxes of a film say before anything is decoded."""

    protections: frozenset[bytes]
    """Types of the sample entries of its picture tracks."""
    is_joined: bool
    """Whether a second file follows the first."""
    has_header: bool


def read_movie(path: Path, file: IO[bytes], size: int) -> MovieFacts:
    """Return the facts of an MP4 or QuickTime file.

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
        header = file.read(16)
        length, name = struct.unpack_from(">I4s", header)
        skipped = 8
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack_from(">Q", header, 8)
            skipped = 16
        elif length == 0:
            length = size - position
        if length < skipped:
            break
        movie.num_boxes += 1
        _check_boxes(path, movie)
        if name in (b"moov", b"ftyp"):
            kinds.append(name)
        if name in (b"moov", b"moof"):
            if min(length, size - position) > MAX_HEADER_BYTES:
                raise _too_costly(path, "a header of more than 128 MB")
            file.seek(position + skipped)
            _read_boxes(path, movie, name, file.read(length - skipped), size)
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


def _read_boxes(path: Path, movie: _Movie, parent: bytes, data: bytes, file_size: int) -> None:
    for name, start, end in boxes(data):
        movie.num_boxes += 1
        _check_boxes(path, movie)
        content = data[start:end]
        if name == b"trak":
            movie.tracks.append(_Track())
        if name == b"cmov":
            _read_boxes(path, movie, b"moov", _uncompressed_header(path, content), file_size)
        elif name in _NESTED:
            _read_boxes(path, movie, name, content, file_size)
        elif name == b"mvhd":
            movie.timescale = _number(content, 20 if content[:1] == b"\x01" else 12)
        elif name == b"trun" and parent == b"traf":
            movie.fragment_samples += _run_samples(path, content, file_size)
        elif movie.tracks:
            _read_table(movie.tracks[-1], name, content)


def _uncompressed_header(path: Path, content: bytes) -> bytes:
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
        track.is_picture = content[8:12] == b"vide"
        track.is_sound = content[8:12] == b"soun"
    elif name == b"mdhd":
        track.timescale = _number(content, 20 if content[:1] == b"\x01" else 12)
    elif name == b"stsd":
        track.protection = content[12:16]
    elif name in (b"stsz", b"stz2"):
        track.sample_bytes = _number(content, 4) if name == b"stsz" else 0
        track.samples = _number(content, 8)
    elif name == b"stts":
        counts, lengths = _table(content, 2).T
        track.timed, track.ticks = int(counts.sum()), int(counts @ lengths)
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


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "big")


def _run_samples(path: Path, content: bytes, file_size: int) -> int:
    flags, count = _number(content, 0), _number(content, 4)
    width = 4 * (flags >> 8 & 0xF).bit_count()
    room = (len(content) - 8) // width if width else file_size
    if count > room + 1:
        raise _too_costly(path, f"{count} samples in a fragment that has room for {room}")
    return count


def _check_samples(path: Path, movie: _Movie, size: int) -> None:
    total = movie.fragment_samples
    for track in movie.tracks:
        is_plain_sound = track.is_sound and track.sample_bytes > 0
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
