"""The locks of a workspace that several steps share. Who needs both takes `ingesting` first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deepfakestream.host.locks import exclusive, in_turn
from deepfakestream.settings import Settings


@contextmanager
def one_at_a_time(settings: Settings) -> Iterator[None]:
    """Hold the workspace's stages, `data/` and DVC for the block; wait for the process that holds them.

    Whatever runs a stage, changes `data/` or reads what stages write does so inside: DVC cannot work twice in
    one workspace, and takes a process in another container for dead.
    """
    notice = "another process is running a stage or changing the data of this workspace; waiting for it"
    with in_turn(settings.work_dir / "stages.lock", notice=notice):
        yield


@contextmanager
def ingesting(settings: Settings) -> Iterator[None]:
    """Be the one process that decides what enters or leaves the dataset, for the block.

    Raises:
        DataError: another process does so now.
    """
    with exclusive(settings.work_dir / "ingest.lock", doing="ingesting into this workspace"):
        yield
