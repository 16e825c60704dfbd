"""FaceForensics++ and DeepFakeDetection: `original_sequences/…` and `manipulated_sequences/METHOD/…`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.data.ingestion.layouts.faceforensics_splits import OfficialSplit, read_official_split
from deepfakestream.data.ingestion.layouts.swap_groups import connect
from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.find import find_media

ORIGINALS = "original_sequences"
FAKES = "manipulated_sequences"
ACTOR_SETS = frozenset({"actors", "DeepFakeDetection"})
MASKS = "masks"
MIN_PARTS = 5
_REAL_NAME = re.compile(r"(\d+)(?:__.+)?")
_FAKE_NAME = re.compile(r"(\d+)_(\d+)(?:__.+)?")


class FaceForensicsLayout:
    """Fakes are named `TARGET_SOURCE`; what swaps connect is one group, at all compression levels.

    The actors of Google's DeepFakeDetection, which may lie in the same tree, are grouped by target actor:
    each was swapped with many others, so that swaps would connect them all. The official split is kept where
    its files are there. Mask videos are no media of the source and are left out.
    """

    name = "faceforensics"
    summary = "FaceForensics++: original_sequences/ and manipulated_sequences/ with their methods"
    covers: frozenset[str] = frozenset()

    def matches(self, source: Path) -> bool:
        """Say whether one of the trees is there, and more than DeepFakeDetection in it."""
        return bool(_trees(source)) and not _sets(source) <= ACTOR_SETS

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield originals, then fakes, by path."""
        trees = _trees(source)
        if not trees:
            raise DataError(f"{source}: has no {ORIGINALS} or {FAKES}; name the folder that holds them")
        videos = [_read_path(path, source) for tree in trees for path in find_media([tree])]
        videos = [video for video in videos if MASKS not in video.relative.parts]
        if not videos:
            raise DataError(f"{source}: no videos under {ORIGINALS} and {FAKES}; finish the download")
        official = read_official_split(source)
        group_of = connect([*official.pairs, *(video.numbers for video in videos if not video.is_actor)])
        members: dict[str, tuple[str, ...]] = {}
        for number, group in group_of.items():
            members[group] = (*members.get(group, ()), number)
        for video in videos:
            yield _item(video, group_of, members, official)

    def clips(self, name: str) -> tuple[str, ...]:
        """Return the numbers in the name of a video of FaceForensics++; actors' groups need no links."""
        path = Path(name)
        if len(path.parts) < MIN_PARTS or path.parts[0] not in (ORIGINALS, FAKES):
            return ()
        video = _read_path(path, Path())
        return () if video.is_actor else video.numbers


class DfdLayout(FaceForensicsLayout):
    """DeepFakeDetection alone: `01__SCENE.mp4` and `01_02__SCENE__CODE.mp4`, target actor first."""

    name = "dfd"
    summary = "DeepFakeDetection: original_sequences/actors and manipulated_sequences/DeepFakeDetection"

    def matches(self, source: Path) -> bool:
        """Say whether one of the trees is there with nothing but DeepFakeDetection in it."""
        return bool(_sets(source)) and _sets(source) <= ACTOR_SETS


@dataclass(frozen=True, slots=True)
class _Video:
    """What the path of a file says."""

    path: Path
    relative: Path
    numbers: tuple[str, ...]
    """Numbers in the name: of the video, or of target and source; empty where it has another form."""

    @property
    def is_fake(self) -> bool:
        return self.relative.parts[0] == FAKES

    @property
    def is_actor(self) -> bool:
        return self.set_name in ACTOR_SETS

    @property
    def set_name(self) -> str | None:
        """The folder below the tree; None for the tree itself, which is listed where it cannot be read."""
        return next(iter(self.relative.parts[1:]), None)


def _trees(source: Path) -> list[Path]:
    return [source / tree for tree in (ORIGINALS, FAKES) if (source / tree).is_dir()]


def _sets(source: Path) -> set[str]:
    """Return the names of the folders that hold compression levels."""
    return {level.parent.name for tree in _trees(source) for level in tree.glob("*/*") if level.is_dir()}


def _read_path(path: Path, source: Path) -> _Video:
    relative = path.relative_to(source)
    pattern = _FAKE_NAME if relative.parts[0] == FAKES else _REAL_NAME
    # A video, or a folder of its frames: tree/set/compression/videos/NAME.mp4, .../images/NAME/0000.png
    matches = (pattern.fullmatch(Path(part).stem) for part in relative.parts[4:5])
    return _Video(path, relative, next((match.groups() for match in matches if match), ()))


def _item(
    video: _Video, group_of: dict[str, str], members: dict[str, tuple[str, ...]], official: OfficialSplit
) -> SourceItem:
    target = video.numbers[0] if video.numbers else None
    actor = f"actor-{target}" if target and video.is_actor else None
    name, form = video.relative.as_posix(), "TARGET_SOURCE" if video.is_fake else "NUMBER"
    unknown_group = (
        f"{name}: does not lie as SET/COMPRESSION/videos/{form}, so its source group is unknown; restore its "
        "name or list it in a manifest"
    )
    return SourceItem(
        name=name,
        path=video.path,
        label="fake" if video.is_fake else "real",
        manipulation=video.set_name if video.is_fake else None,
        group=actor or (f"youtube-{group_of[target]}" if target else None),
        links=members[group_of[target]] if target and not actor else (),
        identity=actor,
        split=official.of(target) if target and not actor else None,
        excluded=None if target else (Reason.GROUP_MISSING, unknown_group),
    )
