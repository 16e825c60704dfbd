"""The prediction log keeps what was answered, for several writers at once, and no file names."""

from __future__ import annotations

import json
import math
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepfakestream.errors import DataError, Reason, ServerError
from deepfakestream.host import database
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring import prediction_log
from deepfakestream.monitoring.prediction_log import FEATURES, PredictionLog
from deepfakestream.monitoring.prediction_table import COLUMNS, LOG, open_prediction_table
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.scanning.result import MediaFacts, ScanResult
from deepfakestream.sqlite_url import sqlite_url

POINT = OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def result(*, p_fake: float | None = 0.75, version: str = "3", **features: float) -> ScanResult:
    return ScanResult(
        file="/home/alice/holiday.jpg",
        verdict="not_applicable" if p_fake is None else "likely_fake",
        p_fake=p_fake,
        interval=None,
        reasons=(Reason.NO_FACE,) if p_fake is None else (),
        tracks=(),
        model=ModelInfo(name="detector", version=version, weights_sha256="ab"),
        operating_point="balanced",
        threshold=POINT,
        media=MediaFacts(
            sha256="cd", kind="image", codec="jpeg", width_px=64, height_px=48, size_bytes=9,
            duration_s=None, fps=None, frames_searched=1,
        ),
        features=features,
    )  # fmt: skip


class Seconds:
    """A clock that goes on by a second at each look, or stands still."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step = BEGIN.timestamp(), step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


Opener = Callable[..., PredictionLog]


@pytest.fixture
def opened(database_url: str) -> Iterator[Opener]:
    """Opens the log of this test; the clock goes on by itself."""
    logs: list[PredictionLog] = []

    def begin(clock: Callable[[], float] | None = None) -> PredictionLog:
        logs.append(PredictionLog(database_url, clock=clock or Seconds()))
        return logs[-1]

    yield begin
    for log in logs:
        log.close()


@pytest.fixture
def log(opened: Opener) -> PredictionLog:
    return opened()


def ids(table: Any) -> list[str]:
    return list(table["prediction_id"])


def test_empty_log_has_the_columns_and_no_rows(log: PredictionLog) -> None:
    table = log.newest(5)
    assert log.count() == 0
    assert table.empty
    assert list(table.columns) == list(COLUMNS)
    assert {"p_fake", "model_version", *FEATURES} <= set(table.columns)
    assert list(log.between(None, BEGIN + timedelta(days=1))) == []


def test_round_trip(log: PredictionLog) -> None:
    log.append(result(face_px=80.0, num_faces=2.0), prediction_id="a", channel="http")
    log.append(result(p_fake=None, num_faces=0.0), prediction_id="b", channel="http")
    table = log.newest(10)
    assert ids(table) == ["a", "b"]
    assert table["p_fake"][0] == 0.75
    assert math.isnan(table["p_fake"][1])
    assert table["face_px"][0] == 80.0
    assert math.isnan(table["face_px"][1])
    assert list(table["reasons"]) == ["[]", '["no_face"]']
    assert list(table["created_at"]) == [BEGIN + timedelta(seconds=1), BEGIN + timedelta(seconds=2)]
    assert list(log.newest(1, columns=["verdict"]).columns) == ["verdict"]


def test_one_prediction_as_a_value(log: PredictionLog) -> None:
    log.append(result(luma=80.0), prediction_id="a", channel="http", client="newsroom")
    log.append(result(p_fake=None), prediction_id="b", channel="http")
    found, without = log.find("a"), log.find("b")
    assert found is not None
    assert without is not None
    assert log.find("c") is None
    assert (found.client, found.p_fake, found.numbers, found.reasons) == (
        "newsroom",
        0.75,
        {"luma": 80.0},
        (),
    )
    assert found.created_at == BEGIN + timedelta(seconds=1)
    assert (found.threshold, found.media_sha256, found.weights_sha256) == (0.6, "cd", "ab")
    assert (without.client, without.p_fake, without.numbers, without.reasons) == (
        None,
        None,
        {},
        ("no_face",),
    )


def test_an_embedding_is_kept_as_float16(log: PredictionLog) -> None:
    given = np.array([1.0, -0.333, 6e4, 0.0])
    embedded = result().model_copy(update={"embedding": tuple(given.tolist())})
    log.append(embedded, prediction_id="a", channel="http")
    log.append(result(), prediction_id="b", channel="http")
    found, without = log.find("a"), log.find("b")
    assert found is not None
    assert found.features is not None
    assert without is not None
    assert found.features.dtype == np.float16
    np.testing.assert_array_equal(found.features, given.astype(np.float16))
    assert without.features is None
    read = list(log.newest(2, columns=["features"])["features"])
    np.testing.assert_array_equal(read[0], given.astype(np.float16))
    assert read[1] is None


def test_newest_are_the_last_ones_oldest_first_and_can_be_of_one_version(log: PredictionLog) -> None:
    for index in range(6):
        log.append(result(version=str(index % 2)), prediction_id=str(index), channel="http")
    assert ids(log.newest(3)) == ["3", "4", "5"]
    assert ids(log.newest(2, model_version="0")) == ["2", "4"]
    assert log.newest(5, model_version="9").empty


def test_rows_are_read_in_parts(log: PredictionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_ROWS_AT_ONCE", 3)
    for index in range(10):
        log.append(result(face_px=float(index)), prediction_id=str(index), channel="http")
    assert list(log.newest(8)["face_px"]) == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert ids(log.newest(99)) == [str(index) for index in range(10)]


def test_the_file_name_is_not_kept(tmp_path: Path) -> None:
    with PredictionLog(sqlite_url(tmp_path / "p.db")) as log:
        log.append(result(), prediction_id="a", channel="http")
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"holiday" not in stored
    assert b"alice" not in stored


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    PredictionLog(sqlite_url(tmp_path / "new" / "p.db")).close()
    assert (tmp_path / "new" / "p.db").stat().st_mode & 0o777 == 0o600


def test_a_prediction_that_comes_again_replaces_itself(log: PredictionLog) -> None:
    """A job may be copied into the log twice, after a kill between the copy and the note that it was made."""
    log.append(result(), prediction_id="a", channel="http")
    log.append(result(), prediction_id="b", channel="http")
    log.append(result(), prediction_id="a", channel="again")
    newest = log.newest(5)
    assert ids(newest) == ["a", "b"]
    assert list(newest["channel"]) == ["again", "http"]


@pytest.mark.parametrize("content", [b"not a database, only text that is long enough", None])
def test_another_kind_of_file_is_refused_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.db: "):
        PredictionLog(sqlite_url(path))


def test_a_newer_layout_is_refused(database_url: str, log: PredictionLog) -> None:
    import sqlalchemy as sa

    table = open_prediction_table(database_url)
    with table.writing() as connection:
        connection.execute(sa.text("UPDATE schema_versions SET version = 9"))
    table.close()
    with pytest.raises(DataError, match="layout 9"):
        PredictionLog(database_url)


def test_the_table_has_the_columns_that_are_read(database_url: str, log: PredictionLog) -> None:
    import sqlalchemy as sa

    table = open_prediction_table(database_url)
    with table.reading() as connection:
        found = [column["name"] for column in sa.inspect(connection).get_columns(LOG.name)]
    table.close()
    assert sorted(found) == sorted(COLUMNS)


def _write_many(url: str, name: str, start: multiprocessing.synchronize.Barrier) -> None:
    start.wait()
    log = PredictionLog(url)
    for index in range(25):
        log.append(result(face_px=float(index)), prediction_id=f"{name}-{index}", channel="http")


@pytest.mark.slow
def test_several_processes_make_and_write_the_log_at_once(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    writers = [context.Process(target=_write_many, args=(database_url, str(n), barrier)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    with PredictionLog(database_url) as log:
        assert log.count() == 100


def test_a_locked_log_is_waited_for_and_then_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_S", 0.05)
    path = tmp_path / "p.db"
    with PredictionLog(sqlite_url(path)) as log, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServerError, match="locked"):
            log.append(result(), prediction_id="a", channel="http")
        assert log.newest(1).empty
        other.rollback()
        log.append(result(), prediction_id="a", channel="http")
        assert log.count() == 1


def test_a_full_disk_loses_only_the_prediction_at_hand(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with PredictionLog(sqlite_url(path)) as log:
        log.append(result(), prediction_id="a", channel="http")
        with log._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        large = result().model_copy(update={"embedding": (0.0,) * 10_000})
        with pytest.raises(ServerError, match="full"):
            log.append(large, prediction_id="b", channel="http")
        assert ids(log.newest(5)) == ["a"]
        with log._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        log.append(large, prediction_id="b", channel="http")
        assert log.count() == 2


def test_drift_columns_are_the_features() -> None:
    assert tuple(FEATURES) == FEATURE_NAMES
    assert set(FEATURES.values()) <= {"numerical", "categorical"}


def test_of_several_clients_none_has_the_window_alone(log: PredictionLog) -> None:
    for number in range(8):
        log.append(result(), prediction_id=f"loud{number}", channel="http", client="loud")
    assert len(log.newest(4, max_client_share=0.5)) == 4
    for number in range(3):
        log.append(result(), prediction_id=f"old{number}", channel="http")
    assert ids(log.newest(4, max_client_share=0.5)) == ["loud6", "loud7", "old1", "old2"]
    assert ids(log.newest(4)) == ["loud7", "old0", "old1", "old2"]


def _window(clients: list[str], n: int, share: float) -> list[str]:
    """The window of the definition: of each client its newest, of those the newest."""
    most = max(1, int(n * share)) if len(set(clients)) > 1 else n
    kept = [i for i, client in enumerate(clients) if clients[i:].count(client) <= most]
    return [str(i) for i in kept[-n:]]


@pytest.mark.parametrize("step", [1.0, 0.0], ids=["moments", "one moment"])
def test_windows_are_those_of_the_definition(opened: Opener, step: float) -> None:
    rng = np.random.default_rng(5)
    log, clients = opened(Seconds(step)), []
    for number in range(30):
        clients.append("abcd"[min(3, int(rng.exponential(1.0)))])
        name = f"{number:02}"  # within one moment the ids decide
        log.append(result(), prediction_id=name, channel="http", client=clients[-1])
        log.append(result(version="9"), prediction_id=f"9-{name}", channel="http", client="loud")
    for n in (1, 5, 12, 40):
        for share in (0.1, 0.34, 0.5, 1.0):
            found = log.newest(n, model_version="3", max_client_share=share)
            assert [str(int(each)) for each in ids(found)] == _window(clients, n, share)


def test_verdicts_of_many_ids(log: PredictionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "_IDS_A_QUERY", 2)
    for index in range(5):
        log.append(result(version=str(index)), prediction_id=str(index), channel="http")
    found = log.verdicts([*map(str, range(5)), "unknown"])
    assert found == {str(index): (str(index), "likely_fake") for index in range(5)}


def test_a_time_is_read_in_parts_that_overlap_nowhere(opened: Opener) -> None:
    still = Seconds()
    log = opened(still)
    for index in range(7):
        if index == 3:
            still.step = 0.0  # several predictions of one moment
        log.append(result(), prediction_id=f"{index}", channel="http")
    parts = list(log.between(BEGIN + timedelta(seconds=2), BEGIN + timedelta(days=1), rows_at_once=2))
    assert [len(part) for part in parts] == [2, 2, 2]
    assert [each for part in parts for each in ids(part)] == ["1", "2", "3", "4", "5", "6"]
    (early,) = log.between(None, BEGIN + timedelta(seconds=3))
    assert ids(early) == ["0", "1"]


def test_old_predictions_are_removed_in_parts(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "REMOVED_AT_ONCE", 3)
    still = Seconds()
    log = opened(still)
    for index in range(10):
        still.step = 1.0 if index < 4 else 0.0  # a part ends between moments, so six go at once
        log.append(result(), prediction_id=str(index), channel="http")
    still.step = 1.0
    log.append(result(), prediction_id="kept", channel="http")
    moment = BEGIN + timedelta(seconds=4.5)
    removed = [log.remove_before(moment) for _ in range(4)]
    assert removed == [3, 7, 0, 0]
    assert ids(log.newest(5)) == ["kept"]


OLD_LAYOUT = """
CREATE TABLE IF NOT EXISTS predictions (
    sequence INTEGER PRIMARY KEY,
    prediction_id TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    channel TEXT NOT NULL,
    media_sha256 TEXT,
    kind TEXT,
    verdict TEXT NOT NULL,
    p_fake REAL,
    reasons TEXT NOT NULL,
    operating_point TEXT NOT NULL,
    threshold REAL NOT NULL,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    weights_sha256 TEXT NOT NULL,
    features TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS predictions_by_version ON predictions (model_version, sequence);
"""
"""As the first release made it; the second added the column `client`."""


def _old_log(path: Path, *, layout: int, n: int = 6) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(OLD_LAYOUT)
        if layout == 2:
            connection.execute("ALTER TABLE predictions ADD COLUMN client TEXT")
        connection.execute(f"PRAGMA user_version = {layout}")
        for index in range(n):
            row = {
                "prediction_id": f"id{index}", "created_at": f"2026-03-0{1 + index}T10:20:30.{index}25+00:00",
                "channel": "http", "media_sha256": "cd" if index else None, "kind": "image",
                "verdict": "likely_real", "p_fake": None if index == 1 else 0.5, "reasons": '["no_face"]',
                "operating_point": "balanced", "threshold": 0.5, "model_name": "detector",
                "model_version": "3", "weights_sha256": "ab",
                "features": json.dumps({"luma": float("nan")} if index == 2 else {"face_px": 80.5, "fps": 0}),
            }  # fmt: skip
            if layout == 2:
                row["client"] = "newsroom" if index % 2 else None
            marks = ", ".join("?" for _ in row)
            connection.execute(
                f"INSERT INTO predictions ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
            )


@pytest.mark.parametrize("layout", [1, 2])
def test_a_log_of_an_earlier_release_is_brought_up_to_date_without_loss(tmp_path: Path, layout: int) -> None:
    path = tmp_path / "p.db"
    _old_log(path, layout=layout)
    with PredictionLog(sqlite_url(path)) as log:
        log.append(result(), prediction_id="new", channel="http", client="one")
        table = log.newest(10, model_version="3")
        second, third = log.find("id1"), log.find("id2")
    assert ids(table) == [*(f"id{index}" for index in range(6)), "new"]
    assert second is not None
    assert second.created_at == datetime(2026, 3, 2, 10, 20, 30, 125_000, tzinfo=UTC)
    assert (second.p_fake, second.reasons, second.media_sha256) == (None, ("no_face",), "cd")
    assert second.numbers == {"face_px": 80.5, "fps": 0.0}
    assert second.client == ("newsroom" if layout == 2 else None)
    assert second.features is None
    assert third is not None
    assert third.numbers == {}
    with PredictionLog(sqlite_url(path)) as log:
        assert log.count() == 7


def test_an_earlier_release_refuses_the_new_file(tmp_path: Path) -> None:
    from deepfakestream.host.sqlite_file import SqliteFile

    path = tmp_path / "p.db"
    _old_log(path, layout=2)
    PredictionLog(sqlite_url(path)).close()
    with pytest.raises(DataError, match="schema 3"):
        SqliteFile(path, what="prediction log", migrations=[OLD_LAYOUT, "SELECT 1"])


def test_a_file_that_cannot_be_brought_up_to_date_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    _old_log(path, layout=2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE predictions DROP COLUMN verdict")
    with pytest.raises(DataError, match="verdict"):
        PredictionLog(sqlite_url(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT COUNT(*) FROM predictions").fetchone() == (6,)
