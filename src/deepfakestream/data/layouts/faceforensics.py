"""FaceForensics++: `original_sequences/SET/C/videos` and `manipulated_sequences/METHOD/C/videos`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from deepfakestream.data.layouts.types import SourceItem
from deepfakestream.errors import DataError
from deepfakestream.media.find import find_media

ORIGINALS = "original_sequences"
FAKES = "manipulated_sequences"
_PAIR = re.compile(r"(\d+)_(\d+)")
_SINGLE = re.compile(r"(\d+)")


class FaceForensicsLayout:
    """Fakes are named `TARGET_SOURCE`; all videos that swaps connect form one group.

    The actors of Google's DeepFakeDetection, which lie in the same tree, are numbered apart from the
    YouTube originals.
    """

    name = "faceforensics"
    summary = "FaceForensics++: original_sequences/ and manipulated_sequences/ with their methods"

    def matches(self, source: Path) -> bool:
        """Say whether both trees are there."""
        return (source / ORIGINALS).is_dir() and (source / FAKES).is_dir()

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield originals, then fakes, by path."""
        if not self.matches(source):
            raise DataError(f"{source}: has no {ORIGINALS} and {FAKES}; name the folder that holds both")
        paths = [path for tree in (ORIGINALS, FAKES) for path in find_media([source / tree])]
        if not paths:
            raise DataError(f"{source}: no videos under {ORIGINALS} and {FAKES}; finish the download")
        group_of = _groups([_people(path.relative_to(source)) for path in paths])
        for path in paths:
            relative = path.relative_to(source)
            is_fake = relative.parts[0] == FAKES
            people = _people(relative)
            yield SourceItem(
                name=relative.as_posix(),
                path=path,
                label="fake" if is_fake else "real",
                manipulation=relative.parts[1] if is_fake else None,
                group=group_of[people[0]] if people else None,
            )


def _people(relative: Path) -> tuple[str, ...]:
    kind = "actor" if relative.parts[1] in {"actors", "DeepFakeDetection"} else "youtube"
    match = _PAIR.match(relative.stem) or _SINGLE.match(relative.stem)
    return tuple(f"{kind}-{number}" for number in match.groups()) if match else ()


def _groups(pairs: list[tuple[str, ...]]) -> dict[str, str]:
    parent = {person: person for pair in pairs for person in pair}

    def root(person: str) -> str:
        while parent[person] != person:
            person = parent[person]
        return person

    for pair in pairs:
        low, high = min(map(root, pair), default=""), max(map(root, pair), default="")
        if low != high:
            parent[high] = low
    return {person: root(person) for person in parent}
