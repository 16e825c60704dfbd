"""Celeb-DF, versions 1 and 2: `Celeb-real`, `YouTube-real`, `Celeb-synthesis` and a list of test videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.find import find_media

TEST_LIST = "List_of_testing_videos.txt"
LABELS = {"Celeb-real": "real", "YouTube-real": "real", "Celeb-synthesis": "fake"}
_NAMES = {
    "Celeb-real": re.compile(r"(id\d+)_\d+"),
    "YouTube-real": re.compile(r"()\d+"),
    "Celeb-synthesis": re.compile(r"(id\d+)_id\d+_\d+"),
}
_DIGITS = {"1": "real", "0": "fake"}
"""The list counts the other way round than most: 1 is a real video."""


class CelebDfLayout:
    """`id0_0000.mp4` shows person 0; `id0_id1_0000.mp4` is that video with the face of person 1.

    Everything that shows one target person is one group. Where the list of test videos is there, these are
    the test split, and other videos of their target persons are held out: the official list shares persons
    with the rest. A donor's face may still occur in two splits; swaps connect nearly all persons.
    """

    name = "celeb_df"
    summary = "Celeb-DF v1 or v2: Celeb-real/, YouTube-real/, Celeb-synthesis/ and a list of test videos"
    covers: frozenset[str] = frozenset()

    def matches(self, source: Path) -> bool:
        """Say whether Celeb-real or Celeb-synthesis is there."""
        return any((source / folder).is_dir() for folder in ("Celeb-real", "Celeb-synthesis"))

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the videos of the three folders, by path, then those that are only in the list."""
        folders = [source / folder for folder in LABELS if (source / folder).is_dir()]
        if not folders:
            raise DataError(f"{source}: has none of {', '.join(LABELS)}; name the folder that holds them")
        videos = [_read_path(path, source) for path in find_media(folders)]
        listed = _read_list(source / TEST_LIST)
        present = {video.key for video in videos}
        videos += [_read_path(source / name, source) for key, name in listed.items() if key not in present]
        test_people = {video.person for video in videos if video.key in listed and video.person}
        for video in videos:
            yield _item(video, listed, test_people)


@dataclass(frozen=True, slots=True)
class _Video:
    """What the path of a file says."""

    path: Path
    name: str
    folder: str
    clip: str | None
    """`id0_0000`; None where the name has another form."""
    person: str | None

    @property
    def key(self) -> str:
        return f"{self.folder}/{self.clip}"


def _read_path(path: Path, source: Path) -> _Video:
    relative = path.relative_to(source)
    folder = relative.parts[0]
    # The video itself, or a folder of its frames somewhere below.
    matches = (_NAMES[folder].fullmatch(Path(part).stem) for part in relative.parts[1:])
    match = next((match for match in matches if match), None)
    clip, person = (match[0], match[1] or None) if match else (None, None)
    return _Video(path, relative.as_posix(), folder, clip, person)


def _item(video: _Video, listed: dict[str, str], test_people: set[str]) -> SourceItem:
    label = LABELS[video.folder]
    return SourceItem(
        name=video.name,
        path=video.path,
        label=label,
        manipulation="celeb-df" if label == "fake" else None,
        group=video.person or (f"youtube-{video.clip}" if video.clip else None),
        identity=video.person,
        split=("test" if video.key in listed else "trainval") if listed else None,
        excluded=_exclusion(video, listed, test_people),
    )


def _exclusion(video: _Video, listed: dict[str, str], test_people: set[str]) -> tuple[Reason, str] | None:
    if video.clip is None:
        reason = "is not named as Celeb-DF names its videos, so its source group is unknown"
        return Reason.GROUP_MISSING, f"{video.name}: {reason}; restore its name or list it in a manifest"
    if video.key not in listed and video.person in test_people:
        reason = f"shows {video.person}, who is also in {TEST_LIST}"
        return Reason.HELD_OUT, f"{video.name}: {reason}; move the list away to have persons split again"
    return None


def _read_list(path: Path) -> dict[str, str]:
    """Return the listed files by their keys; empty where there is no list."""
    listed: dict[str, str] = {}
    if not path.is_file():
        return listed
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        digit, _, name = line.strip().partition(" ")
        folder = name.partition("/")[0]
        if digit not in _DIGITS or folder not in LABELS:
            raise DataError(f"{path}: line {number} is not '1|0 FOLDER/FILE'; fetch the list again")
        if _DIGITS[digit] != LABELS[folder]:
            raise DataError(
                f"{path}: line {number} says {_DIGITS[digit]} of a file in {folder}; fetch the list again"
            )
        listed[f"{folder}/{Path(name).stem}"] = name
    return listed
