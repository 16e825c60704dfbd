"""The governor's rules, each a question to its store and a sentence when the answer is no."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from deepfakestream.monitoring.governor_store import as_text
from deepfakestream.monitoring.params import RetrainParams

BUDGET_PERIOD = timedelta(days=7)

Occasion = Literal["schedule", "drift", "data", "manual"]
"""Why a retraining is asked for; each but `manual` has a rule of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A wish to retrain."""

    model_version: str
    """The champion, whose drift windows count."""
    occasion: Occasion
    new_items: int = 0
    """Training items that were ingested since the last training."""
    reason: str = ""
    """For people: what started it."""
    force: bool = False
    """Override every rule but "one at a time"."""


def objections_to(
    connection: sqlite3.Connection, rules: RetrainParams, request: ClaimRequest, now: datetime
) -> Iterator[str]:
    """Yield a sentence for every rule that speaks against a retraining now; `force` overrides all of them.

    Args:
        connection: to the governor's database.
        rules: in force.
        request: who asks, and why.
        now: moment, in UTC.
    """
    if request.occasion != "manual" and not rules.automatic:
        yield "only people may start a retraining (retrain.automatic: false)"
    if request.occasion == "drift":
        yield from _too_little_drift(connection, rules, request.model_version)
    if request.occasion in ("schedule", "data") and request.new_items < rules.min_new_items:
        yield (
            f"{request.new_items} training items were ingested since the last training; "
            f"{rules.min_new_items} are needed (retrain.min_new_items)"
        )
    (finished_at,) = connection.execute("SELECT MAX(finished_at) FROM claims").fetchone()
    if finished_at is not None:
        free_at = datetime.fromisoformat(finished_at) + timedelta(hours=rules.cooldown_h)
        if now < free_at:
            yield f"cooling down until {_minute(as_text(free_at))} (retrain.cooldown_h: {rules.cooldown_h:g})"
    (spent,) = connection.execute(
        "SELECT COUNT(*) FROM claims WHERE claimed_at > ?", (as_text(now - BUDGET_PERIOD),)
    ).fetchone()
    if spent >= rules.max_per_week:
        allowed = f"{rules.max_per_week} are allowed (retrain.max_per_week)"
        yield f"{spent} retrainings in the last 7 days, {allowed}"


def running(connection: sqlite3.Connection, now: datetime) -> Iterator[str]:
    """Yield a sentence for a retraining that runs: nothing overrides it.

    Args:
        connection: to the governor's database.
        now: moment, in UTC.
    """
    for claimed_at, expires_at in connection.execute(
        "SELECT claimed_at, expires_at FROM claims WHERE outcome IS NULL AND expires_at > ?", (as_text(now),)
    ):
        yield (
            f"another retraining runs since {_minute(claimed_at)}; if its machine is gone, "
            f"the claim is free at {_minute(expires_at)}"
        )


def _too_little_drift(
    connection: sqlite3.Connection, rules: RetrainParams, model_version: str
) -> Iterator[str]:
    needed, of_last = rules.windows
    found = connection.execute(
        "SELECT status FROM windows WHERE model_version = ? AND sequence > "
        "(SELECT COALESCE(MAX(last_window), 0) FROM claims WHERE outcome IN ('promoted', 'held')) "
        "ORDER BY sequence DESC LIMIT ?",
        (model_version, of_last),
    ).fetchall()
    drifted = sum(status == "drift" for (status,) in found)
    if drifted < needed:
        yield (
            f"{drifted} of the last {len(found)} windows of version {model_version} drifted; "
            f"{needed} of {of_last} are needed (retrain.windows)"
        )


def _minute(text: str) -> str:
    return f"{text[:16].replace('T', ' ')} UTC"
