"""The prediction log keeps what was answered, for several writers at once, and no file names."""

from __future__ import annotations

import math
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from deepfakestream.errors import DataError, Reason
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring.prediction_log import FEATURES, PredictionLog
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.scanning.result import MediaFacts, ScanResult

POINT = OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val, 40 files")


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


def test_empty_log_has_the_columns_and_no_rows(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "new" / "predictions.db")
    table = log.newest(5)
    assert log.count() == 0
    assert table.empty
    assert {"p_fake", "model_version", *FEATURES} <= set(table.columns)


def test_round_trip(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "p.db")
    log.append(result(face_px=80.0, num_faces=2.0), prediction_id="a", channel="http")
    log.append(result(p_fake=None, num_faces=0.0), prediction_id="b", channel="http")
    table = log.newest(10)
    assert list(table["prediction_id"]) == ["a", "b"]
    assert table["p_fake"][0] == 0.75
    assert math.isnan(table["p_fake"][1])
    assert table["face_px"][0] == 80.0
    assert math.isnan(table["face_px"][1])
    assert list(table["reasons"]) == ["[]", '["no_face"]']
    assert str(table["created_at"].dt.tz) == "UTC"


def test_newest_are_the_last_ones_oldest_first_and_can_be_of_one_version(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "p.db")
    for index in range(6):
        log.append(result(version=str(index % 2)), prediction_id=str(index), channel="http")
    assert list(log.newest(3)["prediction_id"]) == ["3", "4", "5"]
    assert list(log.newest(2, model_version="0")["prediction_id"]) == ["2", "4"]
    assert log.newest(5, model_version="9").empty


def test_the_file_name_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    PredictionLog(path).append(result(), prediction_id="a", channel="http")
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"holiday" not in stored
    assert b"alice" not in stored


def test_a_prediction_that_comes_again_replaces_itself(tmp_path: Path) -> None:
    """A job may be copied into the log twice, after a kill between the copy and the note that it was made."""
    log = PredictionLog(tmp_path / "p.db")
    for channel in ("http", "again"):
        log.append(result(), prediction_id="a", channel=channel)
        log.append(result(), prediction_id="b", channel="http")
    newest = log.newest(5)
    assert list(newest["prediction_id"]) == ["a", "b"]
    assert list(newest["channel"]) == ["again", "http"]


@pytest.mark.parametrize("content", [b"not a database, only text that is long enough", None])
def test_another_kind_of_file_is_refused_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.db: "):
        PredictionLog(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    PredictionLog(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DataError, match="schema 9"):
        PredictionLog(path)


def _write_many(path: Path, name: str, start: multiprocessing.synchronize.Barrier) -> None:
    start.wait()
    log = PredictionLog(path)
    for index in range(25):
        log.append(result(face_px=float(index)), prediction_id=f"{name}-{index}", channel="http")


@pytest.mark.slow
def test_several_processes_make_and_write_the_log_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    writers = [
        context.Process(target=_write_many, args=(tmp_path / "p.db", str(n), barrier)) for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert PredictionLog(tmp_path / "p.db").count() == 100


def test_drift_columns_are_the_features(tmp_path: Path) -> None:
    assert tuple(FEATURES) == FEATURE_NAMES
    assert set(FEATURES.values()) <= {"numerical", "categorical"}


def test_of_several_clients_none_has_the_window_alone(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "p.db")
    for number in range(8):
        log.append(result(), prediction_id=f"loud{number}", channel="http", client="loud")
    assert len(log.newest(4, max_client_share=0.5)) == 4
    for number in range(3):
        log.append(result(), prediction_id=f"old{number}", channel="http")
    assert list(log.newest(4, max_client_share=0.5)["prediction_id"]) == ["loud6", "loud7", "old1", "old2"]
    assert list(log.newest(4)["prediction_id"]) == ["loud7", "old0", "old1", "old2"]


def test_a_log_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    from deepfakestream.host.sqlite_file import SqliteFile
    from deepfakestream.monitoring import prediction_log

    SqliteFile(tmp_path / "p.db", what="prediction log", migrations=[prediction_log._SCHEMA])
    log = PredictionLog(tmp_path / "p.db")
    log.append(result(), prediction_id="a", channel="http", client="one")
    assert list(log.newest(1)["client"]) == ["one"]
