from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deepfakestream.errors import DataError, GateError
from deepfakestream.monitoring import governor_store
from deepfakestream.monitoring.drift_report import DriftReport
from deepfakestream.monitoring.governor import LEASE, RetrainGovernor
from deepfakestream.monitoring.governor_rules import ClaimRequest
from deepfakestream.monitoring.lease import Lease, kept_alive
from deepfakestream.monitoring.params import RetrainParams


def wish(version: str = "1", *, force: bool = False, **more: object) -> ClaimRequest:
    return ClaimRequest(**{"model_version": version, "occasion": "drift", "force": force, **more})


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULES = RetrainParams(windows=(2, 3), cooldown_h=24, max_per_week=2)


def window(window_id: str, status: str = "drift", version: str = "1") -> DriftReport:
    return DriftReport(
        status=status,
        model_version=version,
        n_current=60,
        n_reference=90,
        share=0.5,
        window_id=window_id,
        reason="",
    )


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "work" / "governor.db"


@pytest.fixture
def governor(db: Path) -> RetrainGovernor:
    return RetrainGovernor(db)


def record(governor: RetrainGovernor, statuses: str, *, version: str = "1", prefix: str = "") -> None:
    """Record a window for each letter: d(rift) or o(k)."""
    for index, letter in enumerate(statuses):
        governor.record_window(window(f"{prefix}{index}", {"d": "drift", "o": "ok"}[letter], version), NOON)


@pytest.mark.parametrize(
    ("statuses", "allowed"),
    [("", False), ("d", False), ("dd", True), ("dod", True), ("ddo", True), ("ddoo", False), ("ooo", False)],
)
def test_n_of_the_last_m_windows_must_have_drifted(governor, statuses, allowed):
    record(governor, statuses)
    decision = governor.claim(wish(), RULES, NOON)
    assert decision.allowed is allowed
    assert (decision.claim_id is not None) is allowed


def test_a_no_is_recorded_with_its_reason(governor):
    record(governor, "d")
    decision = governor.claim(wish(), RULES, NOON)
    assert decision.reasons == (
        "1 of the last 1 windows of version 1 drifted; 2 of 3 are needed (retrain.windows)",
    )
    (refusal,) = governor.refusals()
    assert (refusal.refused_at, refusal.model_version, refusal.reasons) == (NOON, "1", decision.reasons)
    assert decision.reasons[0] in decision.describe()


def test_a_window_counts_once_and_its_first_verdict_stays(governor):
    assert governor.record_window(window("a"), NOON)
    assert not governor.record_window(window("a"), NOON)
    assert not governor.record_window(window("a", "ok"), NOON)
    assert not governor.claim(wish(), RULES, NOON).allowed
    assert governor.record_window(window("b"), NOON)
    assert governor.last_window_id("1") == "b"
    assert governor.claim(wish(), RULES, NOON).allowed


def test_a_window_that_was_too_small_says_nothing(governor):
    assert not governor.record_window(window("a", "too_few"), NOON)
    assert governor.last_window_id("1") is None


def test_windows_of_another_version_do_not_count(governor):
    record(governor, "dd", version="1")
    assert not governor.claim(wish("2"), RULES, NOON).allowed


def test_one_at_a_time_even_by_force(governor):
    record(governor, "dd")
    assert governor.claim(wish(), RULES, NOON).allowed
    decision = governor.claim(wish(force=True), RULES, NOON)
    assert not decision.allowed
    assert decision.reasons[0].startswith("another retraining runs since 2026-03-02 12:00 UTC")


def test_the_cooldown_starts_when_a_retraining_ends(governor):
    record(governor, "dd")
    claim = governor.claim(wish(), RULES, NOON).claim_id
    governor.finish(claim, "held", NOON + HOUR)
    record(governor, "dd", prefix="later")
    refused = governor.claim(wish(), RULES, NOON + 24 * HOUR)
    assert refused.reasons == ("cooling down until 2026-03-03 13:00 UTC (retrain.cooldown_h: 24)",)
    assert governor.claim(wish(), RULES, NOON + 25 * HOUR).allowed


def test_the_weekly_budget(governor):
    for day in range(2):
        record(governor, "dd", prefix=str(day))
        at = NOON + day * 48 * HOUR
        governor.finish(governor.claim(wish(), RULES, at).claim_id, "held", at)
    record(governor, "dd", prefix="more")
    refused = governor.claim(wish(), RULES, NOON + 96 * HOUR)
    assert refused.reasons == ("2 retrainings in the last 7 days, 2 are allowed (retrain.max_per_week)",)
    assert governor.claim(wish(), RULES, NOON + 7 * 24 * HOUR).allowed


@pytest.mark.parametrize("outcome", ["promoted", "held"])
def test_a_decided_retraining_uses_its_windows_up(governor, outcome):
    record(governor, "ddd")
    governor.finish(governor.claim(wish(), RULES, NOON).claim_id, outcome, NOON)
    refused = governor.claim(wish(), RULES, NOON + 48 * HOUR)
    assert refused.reasons[0].startswith("0 of the last 0 windows")


def test_a_failed_retraining_may_be_tried_again_on_the_same_windows(governor):
    record(governor, "dd")
    governor.finish(governor.claim(wish(), RULES, NOON).claim_id, "failed", NOON)
    assert not governor.claim(wish(), RULES, NOON + HOUR).allowed
    assert governor.claim(wish(), RULES, NOON + 25 * HOUR).allowed


YEAR = 365 * 24 * HOUR


def test_a_clock_that_was_a_year_ahead_holds_no_claim_for_a_year(governor):
    record(governor, "dd")
    governor.claim(wish(), RULES, NOON + YEAR)  # and its process was killed
    refused = governor.claim(wish(force=True), RULES, NOON)
    (reason,) = refused.reasons
    assert reason.endswith("if its machine is gone, the claim is free at 2026-03-02 12:10 UTC")
    assert governor.claim(wish(force=True), RULES, NOON + LEASE).allowed


def test_a_clock_that_was_a_year_ahead_stretches_neither_cooldown_nor_budget(governor):
    for _ in range(2):
        claim = governor.claim(wish(force=True), RULES, NOON + YEAR).claim_id
        governor.finish(claim, "held", NOON + YEAR)
    record(governor, "dd")
    assert governor.claim(wish(), RULES, NOON).reasons == (
        "cooling down until 2026-03-03 12:00 UTC (retrain.cooldown_h: 24)",
        "2 retrainings in the last 7 days, 2 are allowed (retrain.max_per_week)",
    )
    assert governor.claim(wish(), RULES, NOON + 7 * 24 * HOUR).allowed


def test_a_clock_set_back_takes_no_claim_from_a_process_that_lives(governor):
    record(governor, "dd")
    claim = governor.claim(wish(), RULES, NOON).claim_id
    assert not governor.claim(wish(force=True), RULES, NOON - HOUR).allowed
    governor.renew(claim, NOON - HOUR + LEASE / 5)
    assert not governor.claim(wish(force=True), RULES, NOON - HOUR + LEASE).allowed


def test_force_overrides_windows_cooldown_and_budget_and_names_them(governor):
    overridden = []
    for _ in range(4):
        decision = governor.claim(wish(force=True), RULES, NOON)
        assert decision.allowed
        overridden.append(len(decision.reasons))
        governor.finish(decision.claim_id, "held", NOON)
    assert overridden == [1, 2, 3, 3]
    assert all(reason.startswith("forced, although: ") for reason in decision.reasons)
    record(governor, "dd")
    free = governor.claim(wish(force=True), RULES, NOON + YEAR)
    assert free.reasons == ("forced; no rule spoke against it",)


@pytest.mark.parametrize("occasion", ["schedule", "data"])
@pytest.mark.parametrize(("new_items", "allowed"), [(0, False), (99, False), (100, True)])
def test_schedule_and_ingestion_need_new_items_and_no_drift(governor, occasion, new_items, allowed):
    decision = governor.claim(wish(occasion=occasion, new_items=new_items), RULES, NOON)
    assert decision.allowed is allowed
    assert str(new_items) in decision.reasons[0]


def test_a_person_needs_neither_drift_nor_new_items(governor):
    assert governor.claim(wish(occasion="manual"), RULES, NOON).allowed


@pytest.mark.parametrize("occasion", ["schedule", "data", "manual", "drift"])
def test_cooldown_and_budget_hold_for_every_occasion(governor, occasion):
    record(governor, "dd")
    governor.finish(governor.claim(wish(), RULES, NOON).claim_id, "held", NOON)
    record(governor, "dd", prefix="more")
    request = wish(occasion=occasion, new_items=1000)
    (reason,) = governor.claim(request, RULES, NOON + HOUR).reasons
    assert "retrain.cooldown_h" in reason
    none_a_week = RULES.model_copy(update={"max_per_week": 0})
    (reason,) = governor.claim(request, none_a_week, NOON + 30 * 24 * HOUR).reasons
    assert "retrain.max_per_week" in reason


@pytest.mark.parametrize("occasion", ["schedule", "data", "drift"])
def test_automatic_retraining_can_be_switched_off(governor, occasion):
    record(governor, "dd")
    off = RULES.model_copy(update={"automatic": False})
    (reason,) = governor.claim(wish(occasion=occasion, new_items=1000), off, NOON).reasons
    assert "retrain.automatic" in reason
    assert governor.claim(wish(occasion="manual"), off, NOON).allowed


def test_three_drift_events_in_a_window_cause_one_retrain(governor):
    record(governor, "ddd")
    answers = []
    for minute in range(3):
        at = NOON + timedelta(minutes=minute)
        decision = governor.claim(wish(), RULES, at)
        answers.append(decision.allowed)
        if decision.claim_id:
            governor.finish(decision.claim_id, "held", at)
    assert answers == [True, False, False]


def test_a_renewed_claim_outlives_its_lease(governor):
    record(governor, "dd")
    claim = governor.claim(wish(), RULES, NOON).claim_id
    governor.renew(claim, NOON + LEASE)
    assert not governor.claim(wish(force=True), RULES, NOON + 1.5 * LEASE).allowed


def test_a_claim_that_was_taken_over_cannot_be_renewed(governor):
    record(governor, "dd")
    first = governor.claim(wish(), RULES, NOON).claim_id
    second = governor.claim(wish(), RULES, NOON + LEASE)
    assert second.allowed
    with pytest.raises(GateError, match="another retraining has started"):
        governor.renew(first, NOON + LEASE)
    with kept_alive(governor, first, every_s=0.01, clock=lambda: NOON + LEASE) as lease:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                lease.check()
            except GateError:
                break
            time.sleep(0.01)
        else:
            pytest.fail("the loss of the claim was not noticed")


class Unwritable:
    """A governor whose database is locked by someone."""

    def renew(self, claim_id, now):
        raise sqlite3.OperationalError("database is locked")


def test_a_claim_that_cannot_be_renewed_is_given_up_when_it_has_run_out(caplog):
    now = [NOON]
    lease = Lease(clock=lambda: now[0])
    lease.renew(Unwritable(), "c")
    now[0] = NOON + LEASE / 2
    lease.check()
    now[0] = NOON + LEASE
    with pytest.raises(GateError, match="could not be renewed for as long as it lasts"):
        lease.check()
    assert "not renewed (database is locked)" in caplog.text


def test_a_foreign_file_is_refused_by_name(tmp_path):
    path = tmp_path / "governor.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"governor\.db: "):
        RetrainGovernor(path)
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DataError, match="schema 9"):
        RetrainGovernor(newer)


def _claim_when_told(db: Path, start, answers) -> None:
    governor = RetrainGovernor(db)
    start.wait()
    answers.put(governor.claim(wish(), RULES, NOON).allowed)


def test_of_two_processes_that_claim_at_once_one_gets_it(db, governor):
    record(governor, "dd")
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_claim_when_told, args=(db, start, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(answers.get(timeout=60) for _ in processes) == [False, True]
    for process in processes:
        process.join()
        process.close()
    answers.close()


def _claim_and_hang(db: Path, claimed) -> None:
    governor = RetrainGovernor(db)
    claim = governor.claim(wish(), RULES, NOON).claim_id
    with kept_alive(governor, claim):
        claimed.set()
        time.sleep(600)


def test_a_killed_process_does_not_block_for_ever(db, governor):
    record(governor, "dd")
    context = multiprocessing.get_context("spawn")
    claimed = context.Event()
    process = context.Process(target=_claim_and_hang, args=(db, claimed))
    process.start()
    assert claimed.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()
    assert governor.claim(wish(), RULES, NOON).allowed


def test_a_claim_of_a_process_elsewhere_is_held_for_its_lease(db, governor):
    record(governor, "dd")
    governor.claim(wish(), RULES, NOON)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE claims SET holder = 'another-machine-4026531836-7-1234'")
    assert not governor.claim(wish(), RULES, NOON + LEASE / 2).allowed
    assert governor.claim(wish(), RULES, NOON + LEASE).allowed


def test_a_store_of_the_release_before_is_brought_up_to_date(db):
    db.parent.mkdir()
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executescript(governor_store._SCHEMA + "PRAGMA user_version = 1;")
        connection.execute(
            "INSERT INTO claims (claim_id, model_version, forced, claimed_at, expires_at, last_window) "
            "VALUES ('c', '1', 0, ?, ?, 0)",
            (governor_store.as_text(NOON), governor_store.as_text(NOON + LEASE)),
        )
    governor = RetrainGovernor(db)
    assert not governor.claim(wish(force=True), RULES, NOON + LEASE / 2).allowed
    assert governor.claim(wish(force=True), RULES, NOON + LEASE).allowed
