"""True labels that people give for predictions: one a prediction and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from deepfakestream.host.database import Database
from deepfakestream.jobs.tables import FEEDBACK

Label = Literal["real", "fake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A true label, and who says so."""

    prediction_id: str
    source: str
    label: Label
    note: str
    owner: str
    created_at: float


def add_feedback(database: Database, feedback: Feedback) -> Feedback:
    """Keep a label and return what the store now has of this source: an earlier label stays.

    Args:
        database: the job store.
        feedback: true label of a prediction, from one source.
    """
    columns = {name: getattr(feedback, name) for name in Feedback.__slots__}
    try:
        with database.writing() as connection:
            if (earlier := _of(connection, feedback)) is None:
                connection.execute(sa.insert(FEEDBACK).values(**columns))
                return feedback
            return earlier
    except sa.exc.IntegrityError:  # another process was faster
        with database.reading() as connection:
            earlier = _of(connection, feedback)
            assert earlier is not None
            return earlier


def read_feedback(database: Database, prediction_id: str) -> list[Feedback]:
    """Return the labels of a prediction, the oldest first.

    Args:
        database: the job store.
        prediction_id: id of the prediction.
    """
    query = (
        sa.select(FEEDBACK).where(FEEDBACK.c.prediction_id == prediction_id).order_by(FEEDBACK.c.created_at)
    )
    with database.reading() as connection:
        return [Feedback(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - a public name


def read_all_feedback(database: Database) -> list[Feedback]:
    """Return every label that was given, the oldest first.

    Args:
        database: the job store.
    """
    query = sa.select(FEEDBACK).order_by(FEEDBACK.c.created_at, FEEDBACK.c.prediction_id, FEEDBACK.c.source)
    with database.reading() as connection:
        return [Feedback(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - a public name


def read_labels(database: Database) -> dict[str, Label]:
    """Return the true label of each prediction that has one; where sources disagree, it has none.

    Args:
        database: the job store.
    """
    query = (
        sa.select(FEEDBACK.c.prediction_id, sa.func.min(FEEDBACK.c.label).label("label"))
        .group_by(FEEDBACK.c.prediction_id)
        .having(sa.func.min(FEEDBACK.c.label) == sa.func.max(FEEDBACK.c.label))
    )
    with database.reading() as connection:
        return {row.prediction_id: row.label for row in connection.execute(query)}


def _of(connection: sa.Connection, feedback: Feedback) -> Feedback | None:
    row = connection.execute(
        sa.select(FEEDBACK).where(
            FEEDBACK.c.prediction_id == feedback.prediction_id, FEEDBACK.c.source == feedback.source
        )
    ).first()
    return None if row is None else Feedback(**row._mapping)  # noqa: SLF001 - a public name
