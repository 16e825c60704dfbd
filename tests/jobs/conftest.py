"""A job store on each database: SQLite in the fast tests, PostgreSQL too in the slow ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepfakestream.host.database import Database
from deepfakestream.jobs.analyses import Analyses, new_id
from deepfakestream.jobs.queue import JobQueue
from deepfakestream.jobs.tables import open_job_store
from deepfakestream.jobs.types import NewAnalysis, Retention, Verdict


@dataclass
class Store:
    """A job store whose clock a test moves by hand."""

    url: str
    database: Database
    now: float = 1_700_000_000.0
    analyses: Analyses = field(init=False)
    queue: JobQueue = field(init=False)

    def __post_init__(self) -> None:
        retention = Retention(media_h=1, result_h=48)
        self.analyses = Analyses(self.database, retention=retention, clock=lambda: self.now)
        self.queue = JobQueue(self.database, self.analyses, clock=lambda: self.now)

    def submit(self, **changes: Any) -> str:
        return self.analyses.submit(new_analysis(**changes))

    def kinds(self, analysis_id: str) -> list[str]:
        """What its events say: the status, or the kind of another event."""
        return [each.data.get("status", each.kind) for each in self.analyses.events(analysis_id)]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    database = open_job_store(database_url)
    yield Store(database_url, database)
    database.close()


def new_analysis(**changes: Any) -> NewAnalysis:
    values: dict[str, Any] = {
        "id": new_id(), "owner": "local", "kind": "video", "request_id": "r", "media_sha256": "ab",
        "media_bytes": 3,
    }  # fmt: skip
    return NewAnalysis(**values | changes)


def verdict(p_fake: float | None = 0.9, **changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "result": {"p_fake": p_fake}, "timings_ms": {"total": 5.0}, "kind": "video",
        "verdict": "likely_fake" if p_fake is not None else "not_applicable", "p_fake": p_fake,
        "model_version": "0", "media_s": 2.5,
    }  # fmt: skip
    return Verdict(**values | changes)
