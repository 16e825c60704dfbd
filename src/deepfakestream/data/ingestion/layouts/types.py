"""What a layout tells ingestion about each file of a source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from deepfakestream.errors import Reason
from deepfakestream.host.file_names import utf8_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceItem:
    """One file as its source describes it; nothing has been opened yet, and None means 'not said'.

    Names that are not valid UTF-8 are written with escapes; `path` and `member` keep their bytes.
    """

    name: str
    """Path in the source; unique there."""
    path: Path
    """File that holds the bytes: the file itself, or the tar that it is a member of."""
    member: str | None = None
    """Name inside the tar."""
    label: str | None = None
    """The source's own word for real or fake."""
    is_crop: bool = False
    """The picture is a face crop already; no detector has to look for a face."""
    manipulation: str | None = None
    group: str | None = None
    """Name shared by a fake, its original and near duplicates; unique within the source."""
    links: tuple[str, ...] = ()
    """What else is of its group and may be in the dataset from an earlier part; names as in `ClipNaming`."""
    identity: str | None = None
    split: str | None = None
    """`train`, `val` or `test`; `trainval` where the source only says that it is not its test split."""
    source: str | None = None
    """Name of the source, where a folder mixes several."""
    licence: str | None = None
    excluded: tuple[Reason, str] | None = None
    """Why the layout itself keeps the file out of the dataset: reason and sentence."""

    def __post_init__(self) -> None:
        for field in ("name", "label", "manipulation", "group", "identity", "split", "source", "licence"):
            text = getattr(self, field)
            if text is not None:
                object.__setattr__(self, field, utf8_name(text))
        object.__setattr__(self, "links", tuple(map(utf8_name, self.links)))


class Layout(Protocol):
    """One way in which labelled media are laid out on disk."""

    name: str
    """What `--layout` takes."""
    summary: str
    """One line for help and error messages."""
    covers: frozenset[str]
    """Names of more general layouts that the same folder may also match; this one is meant then."""

    def matches(self, source: Path) -> bool:
        """Say whether this path looks like the layout; opens no more than small text files."""
        ...

    def items(self, source: Path) -> Iterator[SourceItem]:
        """Yield every item in a stable order.

        Raises:
            DataError: the source contradicts the layout; the message names the file, the rule and the remedy.
        """
        ...


@runtime_checkable
class ClipNaming(Protocol):
    """A layout in whose sources later parts may belong to clips that came earlier."""

    def clips(self, name: str) -> tuple[str, ...]:
        """Return what links call the clips that an item of this name shows; none where it tells none."""
        ...
