"""The evaluation that a promotion rests on: read, and refused where it is not about what is there now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.digests import set_sha256
from deepfakestream.errors import DataError
from deepfakestream.evaluation.files import METRICS_FILE, REFERENCE_FILE, SCORES_FILE
from deepfakestream.evaluation.metrics import Metrics
from deepfakestream.evaluation.scores import read_items
from deepfakestream.model.folder import CARD_FILE, model_sha256

ATTACHED = (REFERENCE_FILE, METRICS_FILE, CARD_FILE)
"""Files of the evaluation that a version brings along."""
FACTS = ("model_sha256", "weights_sha256", "test_set_sha256", "run_id")
"""What is needed of `metrics.json` besides the metrics."""
TRUTH = ("media_id", "label", "manipulation", "group_id")
"""Columns of a test file that decide what its score is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `artifacts/evaluate` says about `artifacts/train`."""

    facts: dict[str, Any]
    """Names and digests of model, files and run: `FACTS`."""
    metrics: Metrics
    scores: pd.DataFrame
    directory: Path


def read_evaluation(directory: Path, *, model_dir: Path, data_dir: Path) -> Evaluation:
    """Return a finished evaluation.

    Args:
        directory: the evaluation, `artifacts/evaluate`.
        model_dir: the model that it must be about, `artifacts/train`.
        data_dir: the dataset whose test split it must be about.

    Raises:
        DataError: there is none, it is of another model, or the test split or its labels changed since.
        WeightsError: the model folder is incomplete.
    """
    try:
        facts = json.loads((directory / METRICS_FILE).read_text(encoding="utf-8"))
        evaluation = Evaluation(
            facts={name: facts[name] for name in FACTS},
            metrics=Metrics.model_validate(facts["metrics"]),
            scores=pd.read_parquet(directory / SCORES_FILE),
            directory=directory,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise DataError(f"{directory}: no readable evaluation ({why}); run 'dvc repro evaluate'") from error
    if missing := [name for name in ATTACHED if not (directory / name).is_file()]:
        raise DataError(f"{directory / missing[0]}: missing; run 'dvc repro evaluate'")
    if evaluation.facts["model_sha256"] != model_sha256(model_dir):
        raise DataError(f"{directory}: is about another model than artifacts/train; run 'dvc repro evaluate'")
    items = read_items(data_dir)
    if evaluation.facts["test_set_sha256"] != set_sha256(items):
        raise DataError(f"{directory}: the test split has changed since; run 'dvc repro evaluate'")
    if not _same_truth(evaluation.scores, items):
        raise DataError(
            f"{directory}: labels or source groups of test files were corrected since; "
            "run 'dvc repro evaluate'"
        )
    return evaluation


def _same_truth(scores: pd.DataFrame, items: pd.DataFrame) -> bool:
    """Tell whether the manifest says of the scored files what it said; their digest is that of their ids."""
    scored, known = (
        table[list(TRUTH)].astype(str).sort_values("media_id").to_numpy() for table in (scores, items)
    )
    return bool((scored == known).all())
