"""Small files that are made to cost a decoder much: time, memory or both."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image


def jpeg_of_scans(path: Path, count: int) -> None:
    """Forty megapixels, whose last scan comes again and again."""
    Image.new("L", (6320, 6320), 7).save(path, progressive=True)
    data = path.read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + last * count + data[-2:])


def gif_of_dots(path: Path, count: int) -> None:
    """Frames of one pixel on a canvas of 36 megapixels."""
    head = b"GIF89a" + struct.pack("<HH", 6000, 6000) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    dot = b"\x21\xf9\x04\x08\x01\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    path.write_bytes(head + dot * count + b";")


def png_of_chunks(path: Path, count: int) -> None:
    """A picture of 8 x 8 pixels behind empty chunks."""
    Image.new("L", (8, 8)).save(path)
    data = path.read_bytes()
    chunk = struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    path.write_bytes(data[:33] + chunk * count + data[33:])


def png_that_unpacks(path: Path) -> None:
    """Forty megapixels of nothing, with sixteen bits a channel."""
    rows = zlib.compress(bytes((1 + 6400 * 8) * 6240), 9)
    head = struct.pack(">IIBBBBB", 6400, 6240, 16, 6, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )
    )


def movie_of_samples(movie: Path, path: Path) -> None:
    """Copy a film whose table claims 80 million samples of one byte."""
    content = bytearray(movie.read_bytes())
    at = content.index(b"stsz")
    content[at + 8 : at + 16] = struct.pack(">II", 1, 80_000_000)
    path.write_bytes(content)
