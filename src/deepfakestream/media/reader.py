"""One way in for pictures, animations and videos: opened and indexed once, searched all over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deepfakestream.errors import MediaError, Reason
from deepfakestream.media.containers import read_head
from deepfakestream.media.jpeg import Jpeg
from deepfakestream.media.pictures import JPEG_START, AnimatedPicture, Still, open_picture
from deepfakestream.media.types import Frame, MediaBudget, MediaInfo, MediaKind, MediaNote, Record


class _Source(Protocol):
    info: MediaInfo

    def frames(self, num_frames: int) -> Iterator[Frame]: ...


class Media:
    """An opened file."""

    def __init__(self, path: Path, source: _Source, record: Record) -> None:
        self._path = path
        self._source = source
        self._record = record

    @property
    def info(self) -> MediaInfo:
        """Facts about the file; exact once frames were read."""
        return self._source.info

    @property
    def kind(self) -> MediaKind:
        """Whether it is a picture or moves."""
        return self._source.info.kind

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why only a part was searched; grows while frames are read."""
        return self._record.reasons

    @property
    def notes(self) -> tuple[MediaNote, ...]:
        """What was searched, left out and converted; grows while frames are read."""
        return self._record.notes

    def frames(self, num_frames: int) -> Iterator[Frame]:
        """Yield at most `num_frames` frames of each picture stream, spread over its time. Call it once.

        A damaged file gives the frames that can be decoded and a reason; an image gives its one picture.

        Raises:
            MediaError: not a single frame can be decoded.
        """
        is_empty = True
        for frame in self._source.frames(num_frames):
            is_empty = False
            yield frame
        if is_empty:
            reason = min(self.reasons, default=Reason.UNREADABLE)
            remedy = (
                "no frame could be decoded in the time allowed; re-encode it to H.264 or give a smaller file"
                if reason == Reason.TIME_BUDGET
                else "not a single frame can be decoded; get a whole copy of the file"
            )
            raise MediaError(reason, f"{self._path.name}: {remedy}")


@contextmanager
def open_media(path: Path, budget: MediaBudget) -> Iterator[Media]:
    """Open an image or video for reading; its kind comes from its content, never from its name.

    Args:
        path: image or video.
        budget: how much of the file is read at most.

    Raises:
        MediaError: the file is missing, empty, of no allowed format, has no pictures, or is over the budget;
            `reason` says which.
    """
    head = _read_head(path)
    record = Record()
    with ExitStack() as files:
        yield Media(path, _open(path, head, budget, record, files), record)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSample:
    """The sampled frames of one file and what went wrong on the way."""

    info: MediaInfo
    frames: tuple[Frame, ...]
    reasons: tuple[Reason, ...]
    notes: tuple[MediaNote, ...]


def sample_frames(path: Path, *, num_frames: int, budget: MediaBudget) -> FrameSample:
    """Return the frames of `Media.frames`, all at once.

    Args:
        path: image or video.
        num_frames: of each picture stream, at most.
        budget: how much of the file is read at most.

    Raises:
        MediaError: the file cannot be read at all or is over the budget.
    """
    with open_media(path, budget) as media:
        frames = tuple(media.frames(num_frames))
        return FrameSample(info=media.info, frames=frames, reasons=media.reasons, notes=media.notes)


def _open(path: Path, head: bytes, budget: MediaBudget, record: Record, files: ExitStack) -> _Source:
    if head.startswith(JPEG_START):
        return Still(path, Jpeg(path, budget), budget, record)
    opened = open_picture(path, head, budget, record, files)
    if opened is None:
        from deepfakestream.media.clips import Clip  # FFmpeg's libraries, which pictures do without

        return Clip(path, head, budget, record, files)
    if opened.animation is not None:
        return AnimatedPicture(path, opened, budget, record)
    return Still(path, opened, budget, record)


def _read_head(path: Path) -> bytes:
    try:
        if not path.exists():
            raise MediaError(Reason.NOT_FOUND, f"{path}: no such file; check the path")
        if not path.is_file():
            what = "a folder; name a file in it" if path.is_dir() else "not a regular file; name a media file"
            raise MediaError(Reason.NOT_FOUND, f"{path}: {what}")
        if path.stat().st_size == 0:
            raise MediaError(Reason.EMPTY_FILE, f"{path.name}: the file is empty; get a whole copy")
        return read_head(path)
    except OSError as error:
        raise MediaError(
            Reason.UNREADABLE, f"{path}: cannot be opened ({error.strerror}); check access"
        ) from error
