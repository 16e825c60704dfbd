"""The key of a training: a digest of what decides what comes of it, so that nothing else goes on from it."""

from __future__ import annotations

import hashlib

import pandas as pd

from deepfakestream import __version__
from deepfakestream.data.digests import table_digest
from deepfakestream.data.extraction.params import ExtractParams
from deepfakestream.model.folder import weights_sha256
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.training.params import TrainParams

NO_FOLDER = "", "imagenet"
"""Values of `train.network.start_from` and `train.extra.distill.teacher` that name no model folder."""


def training_key(table: pd.DataFrame, params: TrainParams, *, extract: ExtractParams, seed: int) -> str:
    """Return 16 hexadecimal digits that change with crops, groups, parameters, seed, weights and version.

    Args:
        table: rows of the crop table.
        params: of the training; of the models that it starts from or learns from the weights count, not
            the folder's name.
        extract: how the crops were made.
        seed: of everything random.

    Raises:
        WeightsError: a model folder that the parameters name has no weights.
    """
    names = params.network.start_from, params.extra.distill.teacher
    weights = [weights_sha256(named_model_dir(name)) for name in names if name not in NO_FOLDER]
    content = [
        __version__,
        table_digest(table),
        extract.model_dump_json(),
        str(seed),
        params.model_dump_json(),
        *weights,
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
