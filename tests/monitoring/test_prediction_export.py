"""A time of the prediction log becomes one Parquet file, read and written in parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepfakestream.errors import DataError, Reason
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring import prediction_export
from deepfakestream.monitoring.prediction_export import SCHEMA, export
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.scanning.result import ScanResult

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=1)
RESULT = ScanResult(
    file="x", verdict="not_applicable", p_fake=None, interval=None, reasons=(Reason.NO_FACE,), tracks=(),
    model=ModelInfo(name="detector", version="3", weights_sha256="ab"), operating_point="balanced",
    threshold=OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val"),
    media=None, features={"luma": 7.5},
)  # fmt: skip


@pytest.fixture
def log(database_url: str) -> Iterator[PredictionLog]:
    """Five predictions, an hour apart."""
    moments = iter((BEGIN + timedelta(hours=hour)).timestamp() for hour in range(1, 9))
    with PredictionLog(database_url, clock=lambda: next(moments)) as log:
        for index in range(5):
            result = RESULT.model_copy(update={"embedding": (0.5, -1.25)}) if index == 1 else RESULT
            client = "newsroom" if index == 2 else None
            log.append(result, prediction_id=str(index), channel="http", client=client)
        yield log


@pytest.mark.parametrize("rows_at_once", [2, 5, 100])
def test_all_rows_and_values(
    log: PredictionLog, tmp_path: Path, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_export, "_ROWS_AT_ONCE", rows_at_once)
    path = tmp_path / "new" / "out.parquet"
    assert export(log, path, since=None, until=END).num_rows == 5
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert [row["prediction_id"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[0]["created_at"] == BEGIN + timedelta(hours=1)
    assert [row["client"] for row in rows] == [None, None, "newsroom", None, None]
    assert [row["features"] for row in rows[:2]] == [None, [0.5, -1.25]]
    assert rows[0]["reasons"] == ["no_face"]
    assert (rows[0]["luma"], rows[0]["fps"], rows[0]["p_fake"], rows[0]["kind"]) == (7.5, None, None, None)
    assert rows[0]["threshold"] == 0.6
    assert [each.name for each in path.parent.iterdir()] == ["out.parquet"]


def test_a_time_is_from_the_first_moment_to_before_the_last(log: PredictionLog, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    report = export(log, path, since=BEGIN + timedelta(hours=2), until=BEGIN + timedelta(hours=4))
    assert pq.read_table(path, columns=["prediction_id"]).column(0).to_pylist() == ["1", "2"]
    assert "2 predictions" in report.describe()


def test_a_time_without_predictions_is_a_file_without_rows(log: PredictionLog, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert export(log, path, since=END, until=END + timedelta(days=1)).num_rows == 0
    assert pq.read_schema(path).equals(SCHEMA)


def test_what_cannot_be_written_is_refused_and_nothing_is_left(log: PredictionLog, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with pytest.raises(DataError, match="--since"):
        export(log, path, since=END, until=END)
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"out\.parquet: exists"):
        export(log, path, since=None, until=END)
    assert path.read_bytes() == b"mine"
    with pytest.raises(DataError, match="cannot be written"):
        export(log, path / "below-a-file.parquet", since=None, until=END)
    assert [each.name for each in tmp_path.iterdir() if "parquet" in each.name] == ["out.parquet"]


def test_moments_between_microseconds_are_rounded(database_url: str, tmp_path: Path) -> None:
    with PredictionLog(database_url, clock=lambda: 1796076231.8322499) as log:
        log.append(RESULT, prediction_id="a", channel="http")
        export(log, tmp_path / "out.parquet", since=None, until=datetime(2027, 1, 1, tzinfo=UTC))
        (found,) = log.newest(1)["created_at"]
        one = log.find("a")
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert abs(row["created_at"].timestamp() - 1796076231.8322499) < 1e-6
    assert one is not None
    assert row["created_at"] == found == one.created_at
