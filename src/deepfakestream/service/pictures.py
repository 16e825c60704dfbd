"""Pictures that a scan made, on their way from a folder to the media store."""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from deepfakestream.jobs.media_store import MediaStore

MAX_BYTES = 8 << 20
"""Largest picture that is taken from a folder."""
MAX_PICTURES = 1000
_SCANNED = re.compile(r"picture-(?:frame-\d{1,4}\.jpg|(?:face|noise)-\d{1,4}-\d{1,4}\.png)")
_DRAWN = re.compile(r"face-(\d{2})(-map-\d{1,2})?\.png")
_LOG = logging.getLogger(__name__)


def heatmap_name(number: int) -> str:
    """Return the name of a face's heat maps in the media store."""
    return f"heatmap-{number}.png"


def overlay_name(number: int, number_of_map: int) -> str:
    """Return the name of one map over a face in the media store."""
    return f"heatmap-{number}-map-{number_of_map}.png"


def pictures_in(folder: Path, *, num_explained: int = 0) -> dict[str, bytes]:
    """Return the pictures of a folder under their names in the media store.

    The process that wrote them has read a stranger's file, so nothing else is taken from the folder: no
    other names, no links, nothing large, nothing beyond `MAX_PICTURES`.

    Args:
        folder: what a scan or `explain` wrote to.
        num_explained: faces with heat maps before; what was drawn now is numbered from there.
    """
    found = {}
    for path in sorted(folder.iterdir())[:MAX_PICTURES]:
        name = path.name if _SCANNED.fullmatch(path.name) else None
        if drawn := _DRAWN.fullmatch(path.name):
            name = f"heatmap-{num_explained + int(drawn[1])}{drawn[2] or ''}.png"
        content = _plain_content(path) if name else None
        if name and content is not None:
            found[name] = content
    return found


def keep_pictures(store: MediaStore, analysis_id: str, pictures: dict[str, bytes]) -> bool:
    """Store pictures of an analysis and return whether there was room for all.

    Args:
        store: of the media.
        analysis_id: whose pictures they are.
        pictures: file name to encoded picture.
    """
    try:
        for name, content in pictures.items():
            store.write(analysis_id, name, content)
    except OSError as error:
        _LOG.warning("analysis %s: its pictures cannot be stored: %s", analysis_id, error)
        return False
    return True


def _plain_content(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_BYTES:
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_BYTES)
