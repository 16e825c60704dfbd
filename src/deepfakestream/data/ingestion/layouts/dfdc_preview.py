"""The preview of the DFDC: `dataset.json` above `original_videos/`, `method_A/` and `method_B/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from deepfakestream.data.ingestion.layouts.types import SourceItem
from deepfakestream.errors import DataError, Reason
from deepfakestream.media.find import find_media

LISTING = "dataset.json"
ORIGINALS = "original_videos"
METHODS = "method_*"
_SPLITS = {"train": "trainval", "test": "test"}


class DfdcPreviewLayout:
    """`{"method_A/…/x.mp4": {"label": "fake", "set": "train", "target_id": "17", "swapped_id": "42"}}`.

    Everything that shows one target person is one group. The test set is the test split; a training video of
    one of its target persons is held out. A donor's face may occur in two splits. Videos that the listing
    does not name come without a label and are refused later.
    """

    name = "dfdc_preview"
    summary = f"the DFDC preview: {LISTING} above {ORIGINALS}/ and method_A/, method_B/"
    covers: frozenset[str] = frozenset()

    def matches(self, source: Path) -> bool:
        """Say whether the listing and one of the folders are there."""
        return (source / LISTING).is_file() and bool(_folders(source))

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield the listed videos and those that lie in the folders, by path."""
        listing = source / LISTING
        entries = _read(listing)
        found = {path.relative_to(source).as_posix() for path in find_media(_folders(source))}
        test_people = {entry["target_id"] for entry in entries.values() if entry["set"] == "test"}
        for name in sorted(found | set(entries)):
            yield _item(source, name, entries.get(name, {}), test_people)


def _folders(source: Path) -> list[Path]:
    return [path for path in [source / ORIGINALS, *sorted(source.glob(METHODS))] if path.is_dir()]


def _item(source: Path, name: str, entry: dict[str, Any], test_people: set[str | None]) -> SourceItem:
    person = entry.get("target_id")
    excluded = None
    if entry and person is None:
        excluded = (Reason.GROUP_MISSING, f"{name}: {LISTING} names no target_id; add it to the entry")
    elif entry.get("set") == "train" and person in test_people:
        reason = f"shows person {person}, whom {LISTING} also has in its test set"
        excluded = (Reason.HELD_OUT, f"{name}: {reason}; correct the listing to use the video")
    label = entry.get("label")
    return SourceItem(
        name=name,
        path=source / name,
        label=label,
        manipulation=f"dfdc-{PurePosixPath(name).parts[0]}" if label == "fake" else None,
        group=person,
        identity=person,
        split=_SPLITS[entry["set"]] if entry else None,
        excluded=excluded,
    )


def _read(listing: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the listing by file, ids as text."""
    try:
        content = json.loads(listing.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{listing}: not readable JSON ({error}); fetch it again") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(
            f"{listing}: must map videos to objects with label, set and target_id; fetch it again"
        )
    return {name: _entry(listing, name, entry) for name, entry in content.items()}


def _entry(listing: Path, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name:
        raise DataError(f"{listing}: '{name}' is no path below {listing.parent}; fetch it again")
    if entry.get("set") not in _SPLITS:
        raise DataError(
            f"{listing}: set of '{name}' is {entry.get('set')!r}, not train or test; fetch it again"
        )
    label, person = entry.get("label"), entry.get("target_id")
    if (
        not isinstance(label, str | None)
        or isinstance(person, bool)
        or not isinstance(person, str | int | None)
    ):
        raise DataError(f"{listing}: label or target_id of '{name}' is no text; fetch it again")
    return {"label": label, "set": entry["set"], "target_id": None if person is None else str(person)}
