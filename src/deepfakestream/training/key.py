"""The key of a training: a digest of what decides what comes of it, so that nothing else goes on from it."""

from __future__ import annotations

import hashlib

import pandas as pd

from deepfakestream import __version__
from deepfakestream.data.digests import table_digest
from deepfakestream.model.folder import weights_sha256
from deepfakestream.model.packaged import named_model_dir
from deepfakestream.params import Params

NO_FOLDER = "", "imagenet"
"""Values of `train.start_from` and `train.distill.teacher` that name no model folder."""


def training_key(table: pd.DataFrame, params: Params) -> str:
    """Return 16 hexadecimal digits that change with crops, groups, parameters, seed, weights and version.

    Args:
        table: rows of the crop table.
        params: of the training; of the models that it starts from or learns from the weights count, not
            the folder's name.

    Raises:
        WeightsError: a model folder that the parameters name has no weights.
    """
    names = params.train.start_from, params.train.distill.teacher
    weights = [weights_sha256(named_model_dir(name)) for name in names if name not in NO_FOLDER]
    content = [
        __version__,
        table_digest(table),
        params.extract.model_dump_json(),
        str(params.seed),
        params.train.model_dump_json(),
        *weights,
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]
