"""The official split of FaceForensics++: `train.json`, `val.json`, `test.json`, each pairs of videos."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deepfakestream.errors import DataError

SPLIT_FILES = {"train": "train.json", "val": "val.json", "test": "test.json"}
FOLDERS = ("", "splits", "dataset/splits")


@dataclass(frozen=True, slots=True)
class OfficialSplit:
    """What the files declare; empty where there are none."""

    pairs: tuple[tuple[str, str], ...] = ()
    split_of: dict[str, str] | None = None
    """Split of each video number."""

    def of(self, number: str) -> str | None:
        """Return the split of a video: `trainval` if no file names it, None if there are no files."""
        return None if self.split_of is None else self.split_of.get(number, "trainval")


def read_official_split(source: Path) -> OfficialSplit:
    """Return the split that lies next to the sequences, in `splits/` or in `dataset/splits/`.

    Raises:
        DataError: only some of the three files are there, one is malformed, or a video is in two splits.
    """
    for folder in FOLDERS:
        files = {split: source / folder / name for split, name in SPLIT_FILES.items()}
        missing = [path for path in files.values() if not path.is_file()]
        if not missing:
            return _read_files(files)
        if len(missing) < len(files):
            raise DataError(f"{missing[0]}: missing, but the other splits are there; add it or remove them")
    return OfficialSplit()


def _read_files(files: dict[str, Path]) -> OfficialSplit:
    pairs: list[tuple[str, str]] = []
    split_of: dict[str, str] = {}
    for split, path in files.items():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = [(str(first), str(second)) for first, second in content]
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise DataError(f"{path}: must be a list of pairs of video numbers; fetch it again") from error
        for pair in found:
            pairs.append(pair)
            for number in pair:
                if split_of.setdefault(number, split) != split:
                    raise DataError(
                        f"{path}: video {number} is in {split_of[number]} too; fetch the splits again"
                    )
    return OfficialSplit(tuple(pairs), split_of)
