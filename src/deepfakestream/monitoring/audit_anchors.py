"""Anchors: heads of the audit record that are kept where the record is not.

The chain shows what was changed inside a record. Who writes all of it again, or cuts off its end, leaves a
whole chain; then an anchor that was taken before does not fit.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from deepfakestream.errors import DataError
from deepfakestream.frozen import Frozen, Strict
from deepfakestream.monitoring.audit import AuditEntry, read_ends

ANCHOR_TAG = "audit_anchor"
"""Where an anchor is kept: a tag of an MLflow version and of its run, as JSON."""


class Anchor(Strict):
    """The last entry of a record at some moment; its digest covers every entry before."""

    sequence: int
    sha256: str
    record: str
    """Digest of the first entry: which record it is, also after the workspace has moved."""
    place: str
    """Machine and path of the record."""


class AnchorCheck(Frozen):
    """What came of comparing a record with anchors."""

    num_confirmed: int
    of_others: tuple[str, ...]
    """Machine and path of each other record whose anchors were found."""


def take_anchor(path: Path) -> Anchor | None:
    """Return the anchor of a record as it is now, or None where it has no entry.

    Args:
        path: of the record.

    Raises:
        DataError: the first or the last line is damaged.
    """
    ends = read_ends(path)
    if ends is None:
        return None
    first, last = ends
    return Anchor(sequence=last.sequence, sha256=last.sha256, record=first.sha256, place=place_of(path))


def place_of(path: Path) -> str:
    """Return the machine and the absolute path of a record."""
    return f"{platform.node()}:{path.resolve()}"


def check_anchors(path: Path, entries: Sequence[AuditEntry], anchors: Mapping[str, str]) -> AnchorCheck:
    """Compare a record with anchors.

    Several workspaces may share a registry. An anchor is of this record if it fits, or was taken at the same
    place, or of a record with the same first entry.

    Args:
        path: of the record.
        entries: of the record, from `read_audit`.
        anchors: text of each, by the thing that keeps it, e.g. `version 3`.

    Raises:
        DataError: an anchor of this record does not fit, or is damaged.
    """
    digests = {entry.sequence: entry.sha256 for entry in entries}
    own = digests.get(1), place_of(path)
    num_confirmed, of_others = 0, set()
    for keeper, text in anchors.items():
        try:
            anchor = Anchor.model_validate_json(text)
        except ValidationError as error:
            raise DataError(
                f"{keeper}: its tag {ANCHOR_TAG} in MLflow holds no anchor; somebody changed it"
            ) from error
        if digests.get(anchor.sequence) == anchor.sha256:
            num_confirmed += 1
        elif anchor.record == own[0] or anchor.place == own[1]:
            raise DataError(
                f"{path}: entry {anchor.sequence} is not the one that {keeper} in MLflow names (tag "
                f"{ANCHOR_TAG}); entries were cut off, or the record was written again; compare it with a "
                "backup"
            )
        else:
            of_others.add(anchor.place)
    return AnchorCheck(num_confirmed=num_confirmed, of_others=tuple(sorted(of_others)))
