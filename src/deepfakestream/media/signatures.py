"""What a file's first bytes say it is; used to find media and to word errors, never to choose a decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

HEAD_BYTES = 64

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
)
_BOX_TYPES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")


def sniff(head: bytes) -> Literal["image", "video"] | None:
    """Return what the first `HEAD_BYTES` look like, None when like neither."""
    if head.startswith(_IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if is_heic(head) or (head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS):
        return "image"
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if head.startswith(_VIDEO_STARTS) or head[4:8] in _BOX_TYPES or is_avi:
        return "video"
    return None


def is_heic(head: bytes) -> bool:
    """Tell whether the first `HEAD_BYTES` are those of a HEIC picture, as phones store them."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def read_head(path: Path) -> bytes:
    """Return the first `HEAD_BYTES` of the file, fewer when it is shorter.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def lacks_movie_header(path: Path) -> bool:
    """Tell whether an MP4 or QuickTime file has no `moov` box: cut off before its index was written."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if header[4:8] == b"moov":
                return False
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:
                break
            position += length
    return read_head(path)[4:8] in _BOX_TYPES
