"""Facts about a file from its headers, before anything is decoded at length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av.error

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.animation import animation_info
from deepfakestream.media.clips import clip_info, open_clip, quarter_turns
from deepfakestream.media.stills import is_animated, open_picture, still_info
from deepfakestream.media.types import MediaBudget, MediaInfo

_PACKETS_FOR_ROTATION = 50


def probe(path: Path, budget: MediaBudget) -> MediaInfo:
    """Return the facts about an image or video; its kind comes from its content, never from its name.

    Raises:
        MediaError: the file is missing, empty, of no allowed format, has no pictures, or is over the budget;
            `reason` says which.
    """
    _check_is_file(path)
    with open_picture(path, budget) as picture:
        if picture is not None:
            return (
                animation_info(path, picture, budget) if is_animated(picture) else still_info(path, picture)
            )
    with open_clip(path, budget) as (container, stream):
        info = clip_info(path, container, stream, budget)
        if _lies_on_its_side(container, stream):
            info = replace(info, width_px=info.height_px, height_px=info.width_px)
        return info


def _check_is_file(path: Path) -> None:
    try:
        if not path.exists():
            raise MediaError(Reason.NOT_FOUND, f"{path}: no such file; check the path")
        if not path.is_file():
            raise MediaError(
                Reason.NOT_FOUND, f"{path}: not a file; name a media file, or a folder that holds some"
            )
        if path.stat().st_size == 0:
            raise MediaError(Reason.EMPTY_FILE, f"{path.name}: the file is empty; get a whole copy")
        with path.open("rb"):
            pass
    except OSError as error:
        raise MediaError(
            Reason.UNREADABLE, f"{path}: cannot be opened ({error.strerror}); check access"
        ) from error


def _lies_on_its_side(container: Any, stream: Any) -> bool:
    """Tell by the first frame, as PyAV gives the display matrix with frames only."""
    try:
        for number, packet in enumerate(container.demux(stream)):
            for picture in packet.decode():
                return quarter_turns(picture) % 2 == 1
            if number >= _PACKETS_FOR_ROTATION:
                break
    except (av.error.FFmpegError, OSError):
        pass  # the damage is reported where frames are read
    return False
