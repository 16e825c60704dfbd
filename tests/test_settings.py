from __future__ import annotations

from pathlib import Path

import pytest

from deepfakestream.errors import ParamsError
from deepfakestream.settings import load_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_PORT", "0"),
        ("MLFLOW_PORT", "65536"),
        ("MODEL_POLL_S", "0"),
        ("MODEL_POLL_S", "inf"),
        ("MODEL_POLL_S", "nan"),
    ],
)
def test_settings_with_which_nothing_would_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"DEEPFAKESTREAM_{name}", value)
    with pytest.raises(ParamsError, match=f"^DEEPFAKESTREAM_{name}: "):
        load_settings()


def test_a_misspelt_variable_is_told_once_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DEEPFAKESTREAM_DEVISE=cpu\nDEEPFAKESTREAM_HOST=127.0.0.2\nOTHER=1\n")
    monkeypatch.setenv("DEEPFAKESTREAM_TRACKING_URL", "http://mlflow.example:5000")
    assert load_settings().host == "127.0.0.2"
    load_settings()
    first, second = capsys.readouterr().err.splitlines()
    assert "DEEPFAKESTREAM_DEVISE is no setting" in first
    assert first.endswith("the nearest is DEEPFAKESTREAM_DEVICE")
    assert "DEEPFAKESTREAM_TRACKING_URL is no setting" in second
    assert second.endswith("the nearest is DEEPFAKESTREAM_TRACKING_URI")
