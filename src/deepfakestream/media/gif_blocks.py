"""How many frames a GIF has, from the chain of its blocks: nothing is decoded.

GIF89a specification, CompuServe 1990: each frame is an image descriptor, an optional table of colours and
data in blocks of at most 255 bytes, each after a byte with its length.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

_HEADER_BYTES = 13
_IMAGE, _EXTENSION, _END = b"\x2c", b"\x21", (b"\x3b", b"")
_DESCRIPTOR_BYTES = 9


def count_frames(path: Path, at_most: int) -> int:
    """Return how many frames begin in a GIF, and no more than `at_most`: what comes after is not looked at.

    Bytes that begin no block are passed over, as Pillow does; a file that was cut off ends the counting.
    """
    with path.open("rb") as file:
        _skip_colours(file, file.read(_HEADER_BYTES)[10:11])
        count = 0
        while count < at_most and (kind := file.read(1)) not in _END:
            if kind == _IMAGE:
                count += 1
                _skip_colours(file, file.read(_DESCRIPTOR_BYTES)[8:9])
            if kind in (_IMAGE, _EXTENSION):
                file.read(1)  # the size of the first code, or the extension's label
                _skip_data(file)
    return count


def _skip_colours(file: IO[bytes], flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), 1)


def _skip_data(file: IO[bytes]) -> None:
    while (length := file.read(1)) not in (b"", b"\0"):
        file.seek(length[0], 1)
