"""What a video file's bytes say before a decoder sees them: its kind, encryption, parts that were joined.

Signatures find media and word errors; they never choose a decoder. A transport stream whose program tables
change needs a demuxer of its own from there on: FFmpeg keeps the first program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from deepfakestream.media.boxes import read_movie

MAX_SECTIONS = 32
_PACKETS_AT_ONCE = 50_000
_NULL_PID = 0x1FFF
_PICTURE_TYPES = frozenset({0x01, 0x02, 0x10, 0x1B, 0x21, 0x24, 0x33, 0x42, 0xD1, 0xEA})
"""Stream types of pictures in a program map (ISO/IEC 13818-1 and registrations)."""
HEAD_BYTES = 640
"""Enough for three packets of a transport stream."""

_IMAGE_STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)
_VIDEO_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"0&\xb2u\x8ef\xcf\x11",  # ASF
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x06\x0e+4\x02\x05\x01\x01",  # MXF
    b"DKIF",  # IVF
    b"\x00\x00\x00\x01\x67",  # H.264 as it is: parameters, or a delimiter before them
    b"\x00\x00\x00\x01\x27",
    b"\x00\x00\x00\x01\x09",
    b"\x00\x00\x01\x67",
    b"\x00\x00\x00\x01\x40\x01",  # HEVC as it is
    b"\x00\x00\x00\x01\x46\x01",
    b"\x00\x00\x01\x40\x01",
    b"\x12\x00\x0a",  # AV1 as it is
    b"\x1f\x07\x00",  # DV
)
_BOX_TYPES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")
_ASF_HEAD = b"0&\xb2u\x8ef\xcf\x11"
_ASF_START = re.compile(re.escape(_ASF_HEAD + bytes.fromhex("a6d900aa0062ce6c")))
_FLV_START = re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0")
_ASF_PROTECTED = (
    bytes.fromhex("fbb31122 23bd d211 b4b7 00a0c955fc6e"),  # content encryption
    bytes.fromhex("14e68a29 2226 174c b935 dae07ee9289c"),  # extended
    bytes.fromhex("33850543 8169 e649 9b74 ad12cb86d58c"),  # advanced
)
_PROTECTED_ENTRIES = {b"encv": "(CENC)", b"drmi": "by FairPlay"}


def sniff(head: bytes) -> Literal["image", "video"] | None:
    """Return what the first `HEAD_BYTES` look like, None when like neither."""
    if head.startswith(_IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if is_heic(head) or (head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS):
        return "image"
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if head.startswith(_VIDEO_STARTS) or head[4:8] in _BOX_TYPES or is_avi or packet_layout(head):
        return "video"
    return None


def is_heic(head: bytes) -> bool:
    """Tell whether the first bytes are those of a HEIC picture, as phones store them."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def read_head(path: Path) -> bytes:
    """Return the first `HEAD_BYTES` of the file, fewer when it is shorter.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a video file is put together."""

    sections: tuple[tuple[int, int], ...]
    """Start and end, in bytes, of parts that need a demuxer of their own; mostly one, the file."""
    demuxer: str | None = None
    """FFmpeg's name of the format; None where it decides, but not for MP4, whose boxes must be checked."""
    encryption: str | None = None
    """How its pictures are encrypted; None where they are not, or that is unknown."""
    is_joined: bool = False
    """Whether a second file follows the first that no player shows."""
    lacks_header: bool = False
    """An MP4 or QuickTime file without `moov`: cut off before its index was written."""


def read_layout(path: Path, head: bytes) -> Layout:
    """Return how a video file is put together, from its bytes alone.

    Args:
        path: the file.
        head: its first bytes.

    Raises:
        MediaError: its header claims more samples than the file can hold, or more boxes than any film has.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    whole = ((0, size),)
    packets = packet_layout(head)
    with path.open("rb") as file:
        if packets is None and not head.startswith(_VIDEO_STARTS):
            # whatever the first box is called: FFmpeg finds a film behind boxes that it does not know
            movie = read_movie(path, file, size)
            is_film = head[4:8] in _BOX_TYPES
            if is_film or movie.has_header:
                is_protected = bool(movie.protections) and movie.protections <= _PROTECTED_ENTRIES.keys()
                names = sorted(_PROTECTED_ENTRIES[each] for each in movie.protections if is_protected)
                return Layout(
                    sections=whole,
                    demuxer="mov" if movie.has_header else None,
                    encryption=names[0] if names else None,
                    is_joined=movie.is_joined,
                    lacks_header=not movie.has_header,
                )
        if packets is not None:
            starts, is_scrambled = read_transport(file, *packets)
            sections = tuple(zip(starts, [*starts[1:], size], strict=True))
            encryption = "(scrambled)" if is_scrambled else None
            return Layout(sections=sections, demuxer="mpegts", encryption=encryption)
        if head.startswith(b"\x00\x00\x01\xba"):
            return Layout(sections=whole, encryption=program_stream_encryption(file))
        if head.startswith(_ASF_HEAD):
            header = file.read(1 << 16)
            is_protected = any(guid in header for guid in _ASF_PROTECTED)
            encryption = "by Windows Media DRM" if is_protected else None
            return Layout(sections=whole, encryption=encryption, is_joined=_found_later(file, _ASF_START))
        if head.startswith(b"FLV\x01"):
            return Layout(sections=whole, is_joined=_found_later(file, _FLV_START))
    return Layout(sections=whole)


def _found_later(file: IO[bytes], start: re.Pattern[bytes]) -> bool:
    """Tell whether a second file's first bytes come after the first file's."""
    file.seek(16)
    tail = b""
    while chunk := file.read(1 << 22):
        if start.search(tail + chunk):
            return True
        tail = chunk[-32:]
    return False


def packet_layout(head: bytes) -> tuple[int, int] | None:
    """Return length and first sync byte of a transport stream's packets; None for other files."""
    for length, first in ((188, 0), (192, 4), (204, 0)):
        packets = [head[at : at + 4] for at in range(first, len(head) - 3, length)][:3]
        if len(packets) == 3 and all(_is_packet(each) for each in packets):
            return length, first
    return None


def _is_packet(header: bytes) -> bool:
    """Tell whether bytes begin a transport packet: its sync byte, no error, and content of some kind."""
    has_content = header[3] & 0x30 > 0 and header[3] >> 6 != 1
    return header[0] == 0x47 and not header[1] & 0x80 and has_content


def read_transport(file: IO[bytes], length: int, first: int) -> tuple[list[int], bool]:
    """Return the offsets at which a demuxer must start, and whether most of the pictures are scrambled.

    Args:
        file: the stream.
        length: bytes of a packet.
        first: where the first sync byte is.
    """
    tables = _Tables()
    offset = 0
    file.seek(0)
    while chunk := file.read(length * _PACKETS_AT_ONCE):
        rows = np.frombuffer(chunk[: len(chunk) // length * length], dtype=np.uint8)
        packets = rows.reshape(-1, length)[:, first:]
        if not len(packets) or (packets[:, 0] == 0x47).mean() < 0.9:
            break  # damaged beyond what this can follow
        tables.read(packets, offset, length)
        offset += len(chunk)
    return sorted(tables.starts)[:MAX_SECTIONS], tables.num_scrambled > tables.num_clear


class _Tables:
    """The program tables of a transport stream as they come."""

    def __init__(self) -> None:
        self.starts = {0}
        self.num_scrambled = 0
        self.num_clear = 0
        self._maps: dict[int, int] = {}
        self._pictures: dict[int, frozenset[tuple[int, int]]] = {}
        self._latest_table = 0

    def read(self, packets: NDArray[np.uint8], offset: int, length: int) -> None:
        """Take note of packets `(N, 184 or more)` that begin at an offset of the file."""
        pids = (packets[:, 1].astype(np.int64) & 0x1F) << 8 | packets[:, 2]
        begins = packets[:, 1] & 0x40 > 0
        for row in np.flatnonzero(begins & (pids == 0)).tolist()[:1] if not self._maps else []:
            self._read_programs(_payload(packets[row]), offset + row * length)
        for row in np.flatnonzero(begins & np.isin(pids, [0, *self._maps.values()])).tolist():
            if pids[row] == 0:
                self._read_programs(_payload(packets[row]), offset + row * length)
            else:
                self._read_map(_payload(packets[row]))
        is_picture = np.isin(pids, [pid for streams in self._pictures.values() for pid, _ in streams])
        is_scrambled = packets[:, 3] & 0xC0 > 0
        self.num_scrambled += int((is_picture & is_scrambled).sum())
        self.num_clear += int((is_picture & ~is_scrambled).sum())

    def _read_programs(self, table: bytes, offset: int) -> None:
        self._latest_table = offset
        if len(table) < 8 or table[0] != 0x00:
            return
        end = 3 + (int.from_bytes(table[1:3], "big") & 0xFFF) - 4
        entries = [table[k : k + 4] for k in range(8, min(end, len(table) - 3), 4)]
        maps = {
            int.from_bytes(entry[:2], "big"): int.from_bytes(entry[2:], "big") & _NULL_PID
            for entry in entries
            if entry[:2] != b"\x00\x00"
        }
        if maps != self._maps:
            if self._maps:
                self.starts.add(offset)
            self._maps, self._pictures = maps, {}

    def _read_map(self, table: bytes) -> None:
        if len(table) < 12 or table[0] != 0x02:
            return
        end = min(3 + (int.from_bytes(table[1:3], "big") & 0xFFF) - 4, len(table))
        position = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
        streams: set[tuple[int, int]] = set()
        while position + 5 <= end:
            if table[position] in _PICTURE_TYPES:
                streams.add(
                    (int.from_bytes(table[position + 1 : position + 3], "big") & 0x1FFF, table[position])
                )
            position += 5 + (int.from_bytes(table[position + 3 : position + 5], "big") & 0xFFF)
        program = int.from_bytes(table[3:5], "big")
        if self._pictures.get(program, streams) != streams:
            self.starts.add(self._latest_table)
        self._pictures[program] = frozenset(streams)


def program_stream_encryption(file: IO[bytes]) -> str | None:
    """Return "(CSS)" where pictures of a DVD are still scrambled, judged by the first 8 MB; else None."""
    file.seek(0)
    data = file.read(8_000_000)
    num_scrambled = num_clear = position = 0
    while (position := data.find(b"\x00\x00\x01\xe0", position)) >= 0 and position + 6 < len(data):
        flags = data[position + 6] & 0xF0
        num_scrambled += flags in (0x90, 0xA0, 0xB0)
        num_clear += flags == 0x80
        position += 4
    return "(CSS)" if num_scrambled > num_clear // 4 else None


def _payload(packet: NDArray[np.uint8]) -> bytes:
    """Return what a packet carries, from its section's first byte on."""
    start = 4 + (1 + int(packet[4]) if packet[3] & 0x20 else 0)
    data = packet[start:188].tobytes()
    return data[1 + data[0] :] if data and len(data) > data[0] + 1 else b""
