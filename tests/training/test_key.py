"""Whatever decides what comes of a training changes its key."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.errors import WeightsError
from deepfakestream.params import Params, load_params
from deepfakestream.training.key import training_key

COLUMNS = ["crop_sha256", "label", "split", "group_id", "source"]
TABLE = pd.DataFrame(
    [["aa", "real", "train", "g1", "set"], ["bb", "fake", "val", "g2", "set"]], columns=COLUMNS
)


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """A training that starts from a model folder."""
    whole = load_params(Path(__file__).parents[2] / "params.yaml")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return whole.model_copy(update={"train": whole.train.model_copy(update={"start_from": str(tmp_path)})})


@pytest.mark.parametrize("column", COLUMNS)
def test_crops_and_what_decides_on_pairs(params: Params, column: str) -> None:
    other = TABLE.copy()
    other.loc[0, column] = "other"
    assert training_key(other, params) != training_key(TABLE, params) == training_key(TABLE.copy(), params)


def test_parameters_and_seed(params: Params) -> None:
    changes = [
        {},
        {"seed": 8},
        {"extract": params.extract.model_copy(update={"crop_scale": 1.3})},
        {"train": params.train.model_copy(update={"dropout": 0.7})},
        {"train": params.train.model_copy(update={"start_from": "imagenet"})},
        {"train": params.train.model_copy(update={"start_from": "packaged"})},
    ]
    keys = {training_key(TABLE, params.model_copy(update=change)) for change in changes}
    assert len(keys) == len(changes)


def test_weights_to_start_from(params: Params) -> None:
    first = training_key(TABLE, params)
    weights = Path(params.train.start_from) / "model.safetensors"
    weights.write_bytes(b"others")
    assert training_key(TABLE, params) != first
    weights.unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read"):
        training_key(TABLE, params)
