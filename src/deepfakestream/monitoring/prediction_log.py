"""Every prediction that was served: scores, model, numbers about the file, embedding; no pixels or names.

It is the current window of the drift check and the first link of a verdict's lineage (prediction id → model
version). Several processes append to it while others read: SQLite in a file, or PostgreSQL by its address.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from deepfakestream.model.embedding import from_bytes, to_bytes
from deepfakestream.monitoring.prediction_table import COLUMNS, LOG, NUMBERS, TEXTS, open_prediction_table
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.scanning.result import ScanResult

FEATURES: dict[str, str] = dict.fromkeys(FEATURE_NAMES, "numerical")
"""Columns that the drift check compares, with their kind (numerical or categorical)."""
REMOVED_AT_ONCE = 2_000
"""Rows that one transaction removes: some 50 ms of processor time, during which others wait."""

_IDS_A_QUERY = 500
_ROWS_AT_ONCE = 10_000
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "created_at")
_APPEND = sa.text(
    f"INSERT INTO predictions ({', '.join(COLUMNS)}) "  # noqa: S608 - constants
    f"VALUES ({', '.join(f':{name}' for name in COLUMNS)}) "
    f"ON CONFLICT (prediction_id) DO UPDATE SET {_UPDATES}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrediction:
    """One row of the log."""

    prediction_id: str
    created_at: datetime
    """In UTC."""
    channel: str
    client: str | None
    """Name of the API key; None: without keys."""
    media_sha256: str | None
    kind: str | None
    verdict: str
    p_fake: float | None
    reasons: tuple[str, ...]
    operating_point: str
    threshold: float
    model_name: str
    model_version: str
    weights_sha256: str
    numbers: dict[str, float]
    """By the names of `FEATURES`; a number that the file did not have is left out."""
    features: NDArray[np.float16] | None
    """Embedding of the file, `(d,)`; None without a face, or where the model gives none."""


class PredictionLog:
    """The log in one database, made where it is missing. Safe for several threads and processes."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Open or make the log; a file of an earlier release is brought up to date.

        Args:
            url: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.
            clock: seconds since 1970, UTC.

        Raises:
            DataError: the database is no prediction log of this layout, or cannot be used.
        """
        self._database = open_prediction_table(url)
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return str(self._database)

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        self._database.close()

    def append(
        self,
        result: ScanResult,
        *,
        prediction_id: str,
        channel: str,
        client: str | None = None,
    ) -> None:
        """Add one prediction, or replace that of the same id; it is on disk when this returns.

        Args:
            result: what was answered. Its file name is not stored.
            prediction_id: the id that the caller was given; unique.
            channel: how it came in, e.g. `http`.
            client: who sent it: the name of an API key.

        Raises:
            ServerError: the database does not answer, is locked for too long, or its disk is full.
        """
        media = result.media
        row: dict[str, object] = dict.fromkeys(COLUMNS)
        row |= {name: result.features[name] for name in FEATURE_NAMES if name in result.features}
        row |= {
            "prediction_id": prediction_id,
            "created_at": self._clock(),
            "channel": channel,
            "client": client or "",
            "media_sha256": media and media.sha256,
            "kind": media and media.kind,
            "verdict": result.verdict,
            "p_fake": result.p_fake,
            "reasons": json.dumps([str(reason) for reason in result.reasons]),
            "operating_point": result.operating_point,
            "threshold": result.threshold.threshold,
            "model_name": result.model.name,
            "model_version": result.model.version,
            "weights_sha256": result.model.weights_sha256,
            "features": None if result.embedding is None else to_bytes(np.array(result.embedding)),
        }
        with self._database.writing(durable=True) as connection:
            connection.execute(_APPEND, row)

    def newest(
        self,
        n: int,
        *,
        model_version: str | None = None,
        max_client_share: float = 1.0,
        columns: Sequence[str] = COLUMNS,
    ) -> pd.DataFrame:
        """Return the newest `n` predictions, oldest first, optionally of one model version only.

        Rows are read in parts, so that memory holds little more than the result.

        Args:
            n: how many at most.
            model_version: of which version; None takes all.
            max_client_share: share of `n` that one client may have, where there are several: nobody alone
                decides what the predictions of today look like.
            columns: which to read.

        Returns:
            One row a prediction: `created_at` as UTC timestamps, numbers as floats, NaN where the file had no
            such number, `reasons` as JSON text, `features` as float16 arrays or None.

        Raises:
            ServerError: the database does not answer.
        """
        of_version = sa.true() if model_version is None else LOG.c.model_version == model_version
        parts: list[pd.DataFrame] = []
        with self._database.reading() as connection:
            most = n
            if max_client_share < 1.0 and _has_several_clients(connection, of_version):
                most = max(1, int(n * max_client_share))
            query = (
                sa.select(LOG.c.client.label("of"), *(LOG.c[name] for name in columns))
                .where(_newest_of_each(connection, of_version, n, most))
                .order_by(LOG.c.created_at.desc(), LOG.c.prediction_id.desc())
            )
            num_left, num_of = n, Counter[str]()
            result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query)
            for rows in result.partitions():
                # The query keeps whole moments; of the rows of one moment, some may be too many.
                taken = rows[:num_left]
                num_of.update(row[0] for row in taken)
                if max(num_of.values()) > most:
                    num_of.subtract(row[0] for row in taken)
                    taken = []
                    for row in rows:
                        if num_of[row[0]] < most and len(taken) < num_left:
                            num_of[row[0]] += 1
                            taken.append(row)
                num_left -= len(taken)
                parts.append(_frame([row[1:] for row in taken[::-1]], columns))
                if not num_left:
                    break
            result.close()
        return pd.concat(parts[::-1], ignore_index=True) if parts else _frame([], columns)

    def find(self, prediction_id: str) -> LoggedPrediction | None:
        """Return one prediction, or None where the log has none of this id.

        Args:
            prediction_id: the id that the caller was given.
        """
        query = sa.select(LOG).where(LOG.c.prediction_id == prediction_id)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
        numbers = {name: values.pop(name) for name in FEATURE_NAMES}
        return LoggedPrediction(
            **values
            | {
                "created_at": datetime.fromtimestamp(values["created_at"], UTC),
                "client": values["client"] or None,
                "reasons": tuple(json.loads(values["reasons"])),
                "features": _array(values["features"]),
                "numbers": {name: number for name, number in numbers.items() if number is not None},
            }
        )

    def verdicts(self, prediction_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return model version and verdict of each of these predictions that the log has.

        Args:
            prediction_ids: the ids that callers were given.
        """
        found: dict[str, tuple[str, str]] = {}
        columns = sa.select(LOG.c.prediction_id, LOG.c.model_version, LOG.c.verdict)
        with self._database.reading() as connection:
            for start in range(0, len(prediction_ids), _IDS_A_QUERY):
                some = prediction_ids[start : start + _IDS_A_QUERY]
                rows = connection.execute(columns.where(LOG.c.prediction_id.in_(some)))
                found |= {prediction_id: (version, verdict) for prediction_id, version, verdict in rows}
        return found

    def of_ids(self, prediction_ids: Sequence[str], *, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
        """Return those of these predictions that the log has, oldest first, as a table like that of `newest`.

        Args:
            prediction_ids: the ids that callers were given.
            columns: which to read.
        """
        names = list(dict.fromkeys(["created_at", *columns]))
        rows: list[sa.Row[Any]] = []
        with self._database.reading() as connection:
            for start in range(0, len(prediction_ids), _IDS_A_QUERY):
                some = LOG.c.prediction_id.in_(prediction_ids[start : start + _IDS_A_QUERY])
                rows += connection.execute(sa.select(*(LOG.c[name] for name in names)).where(some))
        rows.sort(key=lambda row: row.created_at)
        return _frame(rows, names)[list(columns)]

    def between(
        self, since: datetime | None, until: datetime, *, rows_at_once: int = _ROWS_AT_ONCE
    ) -> Iterator[pd.DataFrame]:
        """Yield the predictions of a time, oldest first, as tables like those of `newest`.

        Each table is read by itself, so that writers are kept from nothing while the caller works on it.

        Args:
            since: first moment; None: the beginning of the log.
            until: moment after the last.
            rows_at_once: rows of a table.
        """
        moment, last_id = (since.timestamp() if since else -math.inf), ""
        while True:
            query = (
                sa.select(*(LOG.c[name] for name in COLUMNS))
                .where(LOG.c.created_at >= moment, LOG.c.created_at < until.timestamp())
                .where(sa.or_(LOG.c.created_at > moment, LOG.c.prediction_id > last_id))
                .order_by(LOG.c.created_at, LOG.c.prediction_id)
                .limit(rows_at_once)
            )
            with self._database.reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            yield _frame(rows, COLUMNS)
            moment, last_id = rows[-1].created_at, rows[-1].prediction_id

    def remove_before(self, moment: datetime) -> int:
        """Remove some of the oldest predictions from before a moment, and return how many.

        Call it again until it returns 0. A part at a time keeps nobody waiting who appends.

        Args:
            moment: the first that is kept.
        """
        old = LOG.c.created_at < moment.timestamp()
        with self._database.writing() as connection:
            last = connection.execute(
                sa.select(LOG.c.created_at).where(old).order_by(LOG.c.created_at)
                .offset(REMOVED_AT_ONCE - 1).limit(1)
            ).scalar()  # fmt: skip
            some = old if last is None else LOG.c.created_at <= last
            return int(connection.execute(sa.delete(LOG).where(some)).rowcount)

    def count(self) -> int:
        """Return how many predictions the log holds."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(LOG)).scalar() or 0)


def _has_several_clients(connection: sa.Connection, of_version: sa.ColumnElement[bool]) -> bool:
    one = connection.execute(sa.select(LOG.c.client).where(of_version).limit(1)).scalar()
    other = sa.select(LOG.c.client).where(of_version, LOG.c.client != one).limit(1)
    return one is not None and connection.execute(other).first() is not None


def _newest_of_each(
    connection: sa.Connection, of_version: sa.ColumnElement[bool], n: int, most: int
) -> sa.ColumnElement[bool]:
    """Return the condition of the newest `n` rows of which no client has more than `most`.

    A client with more than `most` among the newest is held at its `most` newest; the others then go further
    back to fill the window. Rows of the same moment as a limit are kept, too.
    """
    since, since_of = math.inf, dict[str, float]()
    while (num_left := n - most * len(since_of)) > 0:
        others = sa.and_(of_version, LOG.c.client.not_in(list(since_of)))
        since = _moment_of(connection, others, num_left)
        newer = sa.select(LOG.c.client).where(others, LOG.c.created_at >= since).group_by(LOG.c.client)
        clients = newer.having(sa.func.count() > most)
        too_many = list(connection.execute(clients).scalars()) if most < n else []
        if not too_many:
            break
        for client in too_many:
            since_of[client] = _moment_of(connection, sa.and_(of_version, LOG.c.client == client), most)
    limits = [sa.and_(LOG.c.client == client, LOG.c.created_at >= at) for client, at in since_of.items()]
    return sa.and_(
        of_version,
        LOG.c.created_at >= min([since, *since_of.values()]),
        sa.or_(sa.and_(LOG.c.client.not_in(list(since_of)), LOG.c.created_at >= since), *limits),
    )


def _moment_of(connection: sa.Connection, condition: sa.ColumnElement[bool], place: int) -> float:
    """Return the time of the newest row but `place - 1` with a condition; -inf where there are fewer."""
    query = sa.select(LOG.c.created_at).where(condition).order_by(LOG.c.created_at.desc())
    found = connection.execute(query.offset(place - 1).limit(1)).scalar()
    return -math.inf if found is None else float(found)


def _frame(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    table: dict[str, pd.Series] = {}
    for name, values in zip(names, columns, strict=True):
        if name in NUMBERS:
            table[name] = pd.Series(np.array(values, dtype=np.float64))
        elif name in TEXTS:
            known = (value or None for value in values) if name == "client" else values
            table[name] = pd.Series(list(known), dtype="str")
        elif name == "features":
            table[name] = pd.Series([_array(value) for value in values], dtype="object")
        else:
            moments = pd.to_datetime(np.array(values, dtype=np.float64), unit="s", utc=True)
            table[name] = pd.Series(moments.round("us").as_unit("us"))
    return pd.DataFrame({name: column.array for name, column in table.items()})


def _array(blob: bytes | None) -> NDArray[np.float16] | None:
    return None if blob is None else from_bytes(blob).astype(np.float16)
