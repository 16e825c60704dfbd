from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from deepfakestream.cli import app
from deepfakestream.errors import DataError, ParamsError
from deepfakestream.monitoring.prediction_log import PredictionLog
from deepfakestream.settings import Settings


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFAKESTREAM_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_empty_log_is_exported(root: Path) -> None:
    PredictionLog(Settings(workspace=root).prediction_database_url).close()
    done = call("log", "export", "--since", "2026-11-01", "--until", "2026-11-30T18:00+01:00", "out.parquet")
    assert done.stdout == "0 predictions written to out.parquet\n"
    assert pq.read_metadata(root / "out.parquet").num_rows == 0


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["2026-13-01", "yesterday", ""])
def test_what_is_no_date_is_named(root: Path, option: str, text: str) -> None:
    error = call("log", "export", option, text, "out.parquet").exception
    assert isinstance(error, ParamsError)
    assert option in str(error)
    assert f"'{text}'" in str(error)


def test_a_workspace_without_predictions_gets_no_empty_log(root: Path) -> None:
    error = call("log", "export", "out.parquet").exception
    assert isinstance(error, DataError)
    assert list(root.iterdir()) == []
