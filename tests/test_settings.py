from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deepfakestream.errors import ParamsError
from deepfakestream.params import load_params
from deepfakestream.settings import load_settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("serve", "operating_point", "balancd", "serve.operating_point"),
        ("drift", "min_window", 201, "min_window needs to be at most window_size"),
    ],
)
def test_parameters_with_which_nothing_would_happen(
    tmp_path: Path, section: str, name: str, value: object, words: str
) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content[section][name] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError, match=words):
        load_params(path)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_random_numbers_cannot_start_from(tmp_path: Path, seed: int) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content | {"seed": seed}))
    with pytest.raises(ParamsError, match="seed: Input should be"):
        load_params(path)


@pytest.mark.parametrize(
    ("name", "value"), [("SERVICE_PORT", "0"), ("MLFLOW_PORT", "65536"), ("MODEL_POLL_S", "0")]
)
def test_settings_with_which_nothing_would_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"DEEPFAKESTREAM_{name}", value)
    with pytest.raises(ParamsError, match=f"DEEPFAKESTREAM_{name}: .*correct the variable or unset it"):
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
