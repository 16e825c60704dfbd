"""Versions of the data on their way: to the remote after an ingestion, from it into a fresh clone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.host.counted import counted
from deepfakestream.pipeline.locks import ingesting, one_at_a_time
from deepfakestream.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What was copied where."""

    direction: Literal["to", "from"]
    remote: str
    data_digest: str
    num_items: int

    def describe(self) -> str:
        """Return the report as a line."""
        verb = "pushed" if self.direction == "to" else "pulled"
        items = counted(self.num_items, "item")
        return f"{verb} data version {self.data_digest} ({items}) {self.direction} {self.remote}"


def push(settings: Settings) -> TransferReport:
    """Copy the recorded version of `data/`, and the outputs of stages, to the default remote.

    Raises:
        DataError: nothing is recorded, `data/` is another version than the recorded one, or the remote cannot
            be written; the call may be repeated.
    """
    with one_at_a_time(settings):
        repo, digest = _recorded(settings)
        repo.require_named_data()
        repo.push()
    return _report("to", repo, digest, settings)


def pull(settings: Settings) -> TransferReport:
    """Fetch the recorded version of `data/`, and those outputs of stages that were pushed.

    Raises:
        DataError: nothing is recorded, the remote cannot be read or lacks the version, or `data/` holds
            something else that would be lost.
    """
    with ingesting(settings), one_at_a_time(settings):
        repo, digest = _recorded(settings)
        repo.pull()
    return _report("from", repo, digest, settings)


def _recorded(settings: Settings) -> tuple[DvcRepo, str]:
    repo = DvcRepo(settings.workspace)
    digest = repo.data_digest() if repo.exists else None
    if digest is None:
        raise DataError(
            f"{settings.workspace / 'data.dvc'}: missing, so no version of the data is recorded here; "
            "run 'deepfakestream ingest SOURCE', or work in a clone that has the file"
        )
    return repo, digest


def _report(
    direction: Literal["to", "from"], repo: DvcRepo, digest: str, settings: Settings
) -> TransferReport:
    num_items = len(read_manifest(settings.data_dir))
    return TransferReport(direction=direction, remote=repo.remote(), data_digest=digest, num_items=num_items)
