"""Whatever decides what comes of a training changes its key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.errors import WeightsError
from deepfakestream.training.key import training_key
from deepfakestream.training.params import TrainParams

COLUMNS = ["crop_sha256", "label", "split", "group_id", "source"]
TABLE = pd.DataFrame(
    [["aa", "real", "train", "g1", "set"], ["bb", "fake", "val", "g2", "set"]], columns=COLUMNS
)


@dataclass(frozen=True)
class Training:
    """What decides a training besides the crops."""

    train: TrainParams
    extract: ExtractParams = field(default_factory=ExtractParams)
    seed: int = 7

    def key(self, table: pd.DataFrame = TABLE) -> str:
        return training_key(table, self.train, extract=self.extract, seed=self.seed)

    def changed(self, group: str, **values: Any) -> Training:
        return replace(self, train=self.train.changed({group: values}))


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """A training that starts from a model folder."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return Training(TrainParams().changed({"network": {"start_from": str(tmp_path)}}))


@pytest.mark.parametrize("column", COLUMNS)
def test_crops_and_what_decides_on_pairs(training: Training, column: str) -> None:
    other = TABLE.copy()
    other.loc[0, column] = "other"
    assert training.key(other) != training.key() == training.key(TABLE.copy())


def test_parameters_and_seed(training: Training) -> None:
    trainings = [
        training,
        replace(training, seed=8),
        replace(training, extract=ExtractParams(crop_scale=1.3)),
        training.changed("network", drop_rate=0.7),
        training.changed("network", start_from="imagenet"),
        training.changed("network", start_from="packaged"),
        training.changed("extra", fake_weight=2.0),
    ]
    assert len({each.key() for each in trainings}) == len(trainings)


def test_weights_to_start_from(training: Training) -> None:
    first = training.key()
    weights = Path(training.train.network.start_from) / "model.safetensors"
    weights.write_bytes(b"others")
    assert training.key() != first
    weights.unlink()
    with pytest.raises(WeightsError):
        training.key()
