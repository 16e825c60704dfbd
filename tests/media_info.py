"""What a file says of itself, without its frames."""

from __future__ import annotations

from pathlib import Path

from deepfakestream.media.reader import open_media
from deepfakestream.media.types import MediaBudget, MediaInfo

_BUDGET = MediaBudget()


def info_of(path: Path, budget: MediaBudget = _BUDGET) -> MediaInfo:
    """Open an image or video and return its facts."""
    with open_media(path, budget) as media:
        return media.info
