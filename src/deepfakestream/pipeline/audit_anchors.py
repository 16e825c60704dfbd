"""Anchors of the audit record in MLflow: left at each decision, compared by `audit verify`."""

from __future__ import annotations

from collections.abc import Collection

from deepfakestream.errors import ServerError
from deepfakestream.frozen import Frozen
from deepfakestream.monitoring.audit import BEGIN, read_audit, require_contains
from deepfakestream.monitoring.audit_anchors import ANCHOR_TAG, check_anchors, take_anchor
from deepfakestream.registry import versions
from deepfakestream.registry.kept_tags import read_tag
from deepfakestream.registry.tracking import TrackedRun
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store


class AuditCheck(Frozen):
    """What a check of the audit record found; a broken record is an error instead."""

    num_entries: int
    last_digest: str
    anchors: str
    """What came of comparing it with the anchors in MLflow."""

    def describe(self) -> str:
        """Return a line about the chain and one about the anchors."""
        return (
            f"{self.num_entries} entries, none changed; last digest: {self.last_digest}\n"
            f"anchors in MLflow: {self.anchors}"
        )


def leave_anchor(settings: Settings, concerned: Collection[int], tracked: TrackedRun | None = None) -> None:
    """Note the head of the audit record on versions, in place of an earlier one, and on a run.

    Args:
        settings: of the workspace.
        concerned: numbers of the versions that were decided about.
        tracked: the run of the training, if it is at hand.

    Raises:
        ServerError: the registry does not answer.
    """
    anchor = take_anchor(settings.audit_file)
    if anchor is None:
        return
    tag = {ANCHOR_TAG: anchor.model_dump_json()}
    if tracked is not None:
        tracked.set_tags(tag)
    for version in concerned:
        versions.tag_version(mlflow_store(settings), version, tag)


def verify(settings: Settings, *, contains: str | None = None) -> AuditCheck:
    """Check the chain of the audit record, and compare it with the anchors where the registry answers.

    Args:
        settings: of the workspace.
        contains: a digest that must be in the record.

    Raises:
        DataError: the chain is broken, an anchor does not fit, or the digest is missing.
    """
    path = settings.audit_file
    entries = read_audit(path)
    if contains is not None:
        require_contains(path, entries, contains)
    last = entries[-1].sha256 if entries else BEGIN
    if not settings.has_registry:
        text = "not compared: this workspace has no registry"
    else:
        try:
            anchors = read_tag(mlflow_store(settings), ANCHOR_TAG)
        except ServerError as error:
            text = f"not compared: {error}"
        else:
            found = check_anchors(path, entries, anchors)
            text = f"{found.num_confirmed} compared, all fit"
            if found.of_others:
                text += f"; others are of other records: {', '.join(found.of_others)}"
    return AuditCheck(num_entries=len(entries), last_digest=last, anchors=text)
