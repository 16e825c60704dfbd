"""Runs as MLflow has them, read again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from deepfakestream.registry.store import Store, answer_or_none, open_client


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """One MLflow run."""

    run_id: str
    name: str
    experiment_id: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    params: dict[str, str]
    tags: dict[str, str]


def read_run(store: Store, run_id: str) -> RecordedRun | None:
    """Return a run, also a deleted one; None where the store has none of this id.

    Args:
        store: the MLflow store.
        run_id: id of the MLflow run.

    Raises:
        ServerError: the tracking server does not answer.
    """
    client = open_client(store)
    found = answer_or_none(store, lambda: client.get_run(run_id))
    if found is None:
        return None
    ended_ms = found.info.end_time
    return RecordedRun(
        run_id=run_id,
        name=found.info.run_name,
        experiment_id=found.info.experiment_id,
        status=found.info.status,
        started_at=datetime.fromtimestamp(found.info.start_time / 1000, UTC),
        ended_at=datetime.fromtimestamp(ended_ms / 1000, UTC) if ended_ms else None,
        params=dict(found.data.params),
        tags=dict(found.data.tags),
    )
