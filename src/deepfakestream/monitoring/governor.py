"""Who may retrain, and when: drift windows, claims and every "no", in one durable SQLite file.

Prefect forgets its debounce state on each redeploy, so the rules live here. A retraining is allowed when

1. no other one is running (a claim is a lease that its process renews; it is free at once where the process
   is seen to have ended, and after the lease where it cannot be seen),
2. its occasion allows it: after drift at least n of the last m windows of this model version drifted, where a
   window counts until a retraining that it led to has ended in a decision (promoted or held); on schedule and
   after an ingestion there are enough new training items; a person needs no more reason,
3. it was asked for by a person, or automatic retraining is on,
4. the cooldown since the end of the last one is over,
5. the budget of the last seven days is not used up.

`force` overrides 2 to 5 and names what it overrides, never 1: two at once would write the same artifacts.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from deepfakestream.errors import GateError
from deepfakestream.host.process_place import is_running, process_name
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.governor_rules import ClaimRequest, objections_to, running
from deepfakestream.monitoring.governor_store import GovernorStore, as_text
from deepfakestream.monitoring.params import RetrainParams

RetrainOutcome = Literal["promoted", "held", "failed"]
LEASE = timedelta(minutes=10)
"""How long a claim outlives its last sign of life."""
CALM_WINDOWS = 2
"""So many windows without drift, one after the other, end an alert: one alone may be chance."""


@dataclass(frozen=True)
class ClaimAnswer:
    """The governor's answer; `claim_id` is set exactly when it is yes."""

    allowed: bool
    reasons: tuple[str, ...]
    claim_id: str | None = None

    def describe(self) -> str:
        """Return one line for the answer and one for each reason."""
        head = "retrain: allowed" if self.allowed else "retrain: refused by the governor"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


@dataclass(frozen=True)
class RefusedClaim:
    """A recorded "no"."""

    refused_at: datetime
    model_version: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ClaimRecord:
    """A recorded "yes"; moments are ISO times in UTC."""

    model_version: str
    """The champion then."""
    claimed_at: str
    finished_at: str | None
    """None while it runs, and where its process was killed."""
    outcome: str | None
    overridden: tuple[str, ...]
    """Rules that `force` overrode."""


def _allowed_because(request: ClaimRequest, overridden: tuple[str, ...]) -> tuple[str, ...]:
    if request.force:
        return tuple(f"forced, although: {rule}" for rule in overridden) or (
            "forced; no rule spoke against it",
        )
    if request.occasion == "drift":
        return (f"enough of the last windows of version {request.model_version} drifted",)
    if request.occasion == "manual":
        return ("asked for by a person",)
    return (f"{request.new_items} training items were ingested since the last training",)


class RetrainGovernor:
    """The rules over their store. Every moment is given by the caller and must know its time zone."""

    def __init__(self, db: Path) -> None:
        """Open or make the store.

        Raises:
            DataError: the file cannot be used.
        """
        self._store = GovernorStore(db)

    def record_window(self, report: DriftReport, now: datetime) -> bool:
        """Keep the verdict on a window; return False where this window is known or says nothing.

        A window is identified by model version and window id; the first verdict stays.

        Args:
            report: of the check.
            now: moment, in UTC.
        """
        if report.status not in {"ok", "drift"}:
            return False
        row = (report.model_version, report.window_id, report.status, report.share, as_text(now))
        with self._store.transaction() as connection:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO windows (model_version, window_id, status, share, recorded_at) "
                "VALUES (?, ?, ?, ?, ?)",
                row,
            )
            return cursor.rowcount == 1

    def knows_window(self, model_version: str, window_id: str) -> bool:
        """Return whether this window of this model version is recorded.

        Args:
            model_version: version of the model.
            window_id: id of its newest prediction.
        """
        with self._store.connection() as connection:
            found = connection.execute(
                "SELECT 1 FROM windows WHERE model_version = ? AND window_id = ?", (model_version, window_id)
            ).fetchone()
        return found is not None

    def last_window_id(self, model_version: str) -> str | None:
        """Return the id of the newest recorded window of this model version."""
        with self._store.transaction() as connection:
            row = connection.execute(
                "SELECT window_id FROM windows WHERE model_version = ? ORDER BY sequence DESC LIMIT 1",
                (model_version,),
            ).fetchone()
        return str(row[0]) if row else None

    def is_calm(self, report: DriftReport) -> bool:
        """Return whether this window and those before it, `CALM_WINDOWS` in all, did not drift.

        Args:
            report: of the check; its window need not be recorded yet.
        """
        with self._store.connection() as connection:
            rows = connection.execute(
                "SELECT status FROM windows WHERE model_version = ? AND window_id != ? "
                "ORDER BY sequence DESC LIMIT ?",
                (report.model_version, report.window_id, CALM_WINDOWS - 1),
            ).fetchall()
        before = [status for (status,) in rows]
        return report.status == "ok" and before == ["ok"] * (CALM_WINDOWS - 1)

    def claim(self, request: ClaimRequest, rules: RetrainParams, now: datetime) -> ClaimAnswer:
        """Decide, and take the claim or record the "no", in one transaction.

        Args:
            request: who asks, and why.
            rules: in force.
            now: the moment of the decision.
        """
        with self._store.transaction() as connection:
            self._cut_to_now(connection, now)
            self._free_claims_of_ended_processes(connection)
            others = tuple(running(connection, now))
            objections = tuple(objections_to(connection, rules, request, now))
            overridden = objections if request.force else ()
            if others or len(objections) > len(overridden):
                reasons = others + (() if request.force else objections)
                connection.execute(
                    "INSERT INTO refusals (refused_at, model_version, reasons, occasion) VALUES (?, ?, ?, ?)",
                    (as_text(now), request.model_version, json.dumps(reasons), request.occasion),
                )
                return ClaimAnswer(False, reasons)
            claim_id = uuid.uuid4().hex
            newest = connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM windows").fetchone()[0]
            row = {
                "claim_id": claim_id,
                "model_version": request.model_version,
                "forced": request.force,
                "claimed_at": as_text(now),
                "expires_at": as_text(now + LEASE),
                "last_window": newest,
                "occasion": request.occasion,
                "reason": request.reason,
                "overridden": json.dumps(overridden),
                "holder": process_name(),
            }
            marks = ", ".join(f":{name}" for name in row)
            connection.execute(f"INSERT INTO claims ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608
        return ClaimAnswer(True, _allowed_because(request, overridden), claim_id)

    @staticmethod
    def _free_claims_of_ended_processes(connection: sqlite3.Connection) -> None:
        """End the claims whose process is seen to have ended; such a claim starts no cooldown."""
        open_claims = connection.execute(
            "SELECT claim_id, holder FROM claims WHERE outcome IS NULL"
        ).fetchall()
        for claim_id, holder in open_claims:
            if holder and is_running(holder) is False:
                connection.execute("UPDATE claims SET outcome = 'failed' WHERE claim_id = ?", (claim_id,))

    @staticmethod
    def _cut_to_now(connection: sqlite3.Connection, now: datetime) -> None:
        """Move moments that lie ahead of the clock to now: it was set back, and they would hold for years.

        A lease that has longer to run than a new one is cut to a new one; a process that lives renews it.
        """
        for column, latest in (("expires_at", now + LEASE), ("claimed_at", now), ("finished_at", now)):
            connection.execute(
                f"UPDATE claims SET {column} = ? WHERE {column} > ?",  # noqa: S608 - constants
                (as_text(latest), as_text(latest)),
            )

    def renew(self, claim_id: str, now: datetime) -> None:
        """Keep a running claim alive for another lease.

        Args:
            claim_id: id of the claim.
            now: moment, in UTC.

        Raises:
            GateError: it is finished, or it ran out and someone else has claimed since.
        """
        with self._store.transaction() as connection:
            renewed = connection.execute(
                "UPDATE claims SET expires_at = ? WHERE claim_id = ? AND outcome IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM claims AS later WHERE later.rowid > claims.rowid)",
                (as_text(now + LEASE), claim_id),
            ).rowcount
        if not renewed:
            raise GateError(
                f"retrain claim {claim_id} ran out and another retraining has started; let that one finish"
            )

    def finish(self, claim_id: str, outcome: RetrainOutcome, now: datetime) -> None:
        """Give a claim back with what came of it; the first outcome stays.

        Args:
            claim_id: id of the claim.
            outcome: promoted, held or failed.
            now: moment, in UTC.
        """
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE claims SET finished_at = ?, outcome = ? WHERE claim_id = ? AND outcome IS NULL",
                (as_text(now), outcome, claim_id),
            )

    def find_claim(self, claim_id: str) -> ClaimRecord | None:
        """Return what is recorded of a claim, or None where the store has none of this id.

        Args:
            claim_id: id of the claim.
        """
        names = ("model_version", "claimed_at", "finished_at", "outcome", "overridden")
        with self._store.connection() as connection:
            query = f"SELECT {', '.join(names)} FROM claims WHERE claim_id = ?"  # noqa: S608 - constants
            row = connection.execute(query, (claim_id,)).fetchone()
        if row is None:
            return None
        version, claimed_at, finished_at, outcome, overridden = row
        return ClaimRecord(version, claimed_at, finished_at, outcome, tuple(json.loads(overridden)))

    def num_refused_in_a_row(self) -> int:
        """Return how many claims were refused since the last one that was allowed."""
        with self._store.connection() as connection:
            query = (
                "SELECT COUNT(*) FROM refusals "
                "WHERE refused_at > (SELECT COALESCE(MAX(claimed_at), '') FROM claims)"
            )
            return int(connection.execute(query).fetchone()[0])

    def newest_by_outcome(self, now: datetime) -> dict[str, datetime]:
        """Return when the newest claim of each outcome ended; `running`: when the running one began.

        A claim whose lease has run out counts as failed.

        Args:
            now: moment, in UTC.
        """
        with self._store.connection() as connection:
            rows = connection.execute(
                "SELECT COALESCE(outcome, CASE WHEN expires_at > ? THEN 'running' ELSE 'failed' END), "
                "MAX(COALESCE(finished_at, claimed_at)) FROM claims GROUP BY 1",
                (as_text(now),),
            )
            return {str(outcome): datetime.fromisoformat(at) for outcome, at in rows}

    def describe_last(self) -> str:
        """Return, in a line, when the last retraining began, why, and what came of it."""
        with self._store.connection() as connection:
            row = connection.execute(
                "SELECT claimed_at, occasion, outcome FROM claims ORDER BY rowid DESC LIMIT 1"
            ).fetchone()
        if row is None:
            return "none yet"
        claimed_at, occasion, outcome = row
        return f"{datetime.fromisoformat(claimed_at):%Y-%m-%d %H:%M} UTC ({occasion}), {outcome or 'runs'}"

    def refusals(self) -> list[RefusedClaim]:
        """Return every recorded "no", oldest first."""
        with self._store.transaction() as connection:
            rows = connection.execute(
                "SELECT refused_at, model_version, reasons FROM refusals ORDER BY sequence"
            ).fetchall()
        return [
            RefusedClaim(datetime.fromisoformat(at), version, tuple(json.loads(why)))
            for at, version, why in rows
        ]
