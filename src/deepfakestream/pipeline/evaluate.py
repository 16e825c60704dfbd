"""The step evaluate: the trained model on the test split, read here and by promote only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.crop_store import read_images
from deepfakestream.data.digests import set_sha256
from deepfakestream.data.manifest import read_manifest
from deepfakestream.data.versioning.repository import DvcRepo
from deepfakestream.errors import DataError
from deepfakestream.evaluation.caveats import caveats
from deepfakestream.evaluation.files import EvaluateReport, write_files
from deepfakestream.evaluation.metrics import FPR_LEVELS, measure, measure_points
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.evaluation.robustness import (
    RobustnessCard,
    empty_card,
    measure_robustness,
    sample_faces,
)
from deepfakestream.evaluation.scores import (
    TEST_SPLIT,
    read_items,
    score_faces,
    score_media,
    score_stored_faces,
)
from deepfakestream.evaluation.slices import measure_gaps, measure_slices, worst_slices
from deepfakestream.model.folder import model_sha256
from deepfakestream.model.scorer import CropScorer
from deepfakestream.model.spec import DetectorSpec
from deepfakestream.model.tower.sources import tower_path
from deepfakestream.pipeline.training_facts import RUN_FILE, read_training_facts
from deepfakestream.registry.tracking import TrackedRun, resume_run
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

SPLITS = (TEST_SPLIT, "val")
BOOTSTRAP_SEED = 0
"""Fixed, so that the intervals of two models differ by the models alone."""


def run(params: EvaluateParams, *, settings: Settings, split: str = TEST_SPLIT) -> EvaluateReport:
    """Measure `artifacts/train` on a split; write a folder of files; log to the training run.

    `artifacts/evaluate` holds `metrics.json`, `scores.parquet` (a row a file), `faces.parquet` (a face),
    `reference.parquet` (what drift of this model is measured against), `plots/`, `report.html` and the card
    `MODEL_CARD.md`, and is replaced as a whole or not at all. With the split `val` it is `work/evaluate-val`,
    which no later step reads: the model was chosen on it.

    Args:
        params: section `evaluate`.
        settings: of the workspace.
        split: test or val.

    Raises:
        DataError: an unknown split, no items in it, no crops, or crops made otherwise than the model expects.
        WeightsError: the model folder is incomplete or damaged.
        ServerError: the tracking server does not answer; nothing has been done then.
    """
    from deepfakestream.model.scorer import open_scorer

    if split not in SPLITS:
        raise DataError(f"split '{split}' cannot be measured; choose {' or '.join(SPLITS)}")
    train_dir = settings.train_dir
    name = f"evaluate {model_sha256(train_dir)[:8]}"
    history = (
        read_training_facts(train_dir / "history.json", kind=list) or []
    )  # read first: scoring takes long, and the file may be damaged
    with resume_run(mlflow_store(settings), run_id=read_run_id(train_dir), name=name) as tracked:
        items = read_items(settings.data_dir, split=split)
        scorer = open_scorer(
            train_dir, device=settings.device, version="candidate", tower=tower_path(settings.cache_dir)
        )
        crops = score_stored_faces(items, scorer, settings.extract_dir)
        logits = crops["logit"].to_numpy()
        tables = {
            "scores": score_media(items, crops, logits, scorer.spec),
            "faces": score_faces(crops, logits, scorer.spec),
        }
        report = _measure(
            tables,
            _robustness(crops, scorer, params, settings),
            scorer.spec,
            params,
            split=split,
            directory=settings.evaluate_dir
            if split == TEST_SPLIT
            else settings.work_dir / f"evaluate-{split}",
            run_id=tracked.run_id,
        )
        facts = {"split": split, **_facts(items, settings), "run_id": tracked.run_id}
        write_files(
            report,
            tables,
            scorer.spec,
            facts,
            history=history,
            licences=_licences(settings),
        )
        _log(tracked, report, digest=str(facts["test_set_sha256"]))
    return report


def _facts(items: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the digests of model and data."""
    from deepfakestream.model.folder import weights_sha256

    return {
        "weights_sha256": weights_sha256(settings.train_dir),
        "model_sha256": model_sha256(settings.train_dir),
        "test_set_sha256": set_sha256(items),
        "dvc_data_md5": DvcRepo(settings.workspace).data_digest(),
    }


def read_run_id(train_dir: Path) -> str | None:
    """Return the MLflow run that trained the model of a folder, or None where it does not say.

    Raises:
        WeightsError: the file that says it is damaged.
    """
    facts = read_training_facts(train_dir / RUN_FILE, kind=dict)
    return None if facts is None or facts.get("run_id") is None else str(facts["run_id"])


def _robustness(
    crops: pd.DataFrame, scorer: CropScorer, params: EvaluateParams, settings: Settings
) -> RobustnessCard:
    threshold = _main_threshold(scorer.spec)
    if params.robustness_faces == 0:
        return empty_card("off", threshold=threshold)
    sample = sample_faces(crops, num_faces=params.robustness_faces, seed=BOOTSTRAP_SEED)
    return measure_robustness(
        sample,
        list(read_images(settings.extract_dir, sample)),
        scorer,
        threshold=threshold,
        num_bootstrap=params.num_bootstrap,
        seed=BOOTSTRAP_SEED,
    )


def _measure(
    tables: Mapping[str, pd.DataFrame],
    robustness: RobustnessCard,
    spec: DetectorSpec,
    params: EvaluateParams,
    *,
    split: str,
    directory: Path,
    run_id: str,
) -> EvaluateReport:
    scores, faces = tables["scores"], tables["faces"]
    threshold = _main_threshold(spec)
    levels = tuple(sorted({params.low_fpr, *FPR_LEVELS}))
    seed, draws = BOOTSTRAP_SEED, params.num_bootstrap
    metrics = measure(scores, threshold=threshold, fpr_levels=levels, num_bootstrap=draws, seed=seed)
    points = measure_points(scores, spec.operating_points)
    slices = measure_slices(scores, threshold=threshold, num_bootstrap=draws, seed=seed)
    gaps = measure_gaps(scores, slices, threshold=threshold, num_bootstrap=draws, seed=seed)
    return EvaluateReport(
        split=split,
        metrics=metrics,
        face_metrics=measure(
            faces, threshold=threshold, fpr_levels=levels, unit="face", num_bootstrap=draws, seed=seed
        ),
        points=points,
        slices=slices,
        gaps=gaps,
        robustness=robustness,
        caveats=caveats(
            split=split,
            metrics=metrics,
            points=points,
            promised=spec.operating_points,
            slices=slices,
            gaps=gaps,
            card=robustness,
        ),
        directory=directory,
        run_id=run_id,
    )


def _licences(settings: Settings) -> dict[str, str]:
    """Return the licence notes of the training data by source."""
    manifest = read_manifest(settings.data_dir)
    trained = manifest[manifest["split"] == "train"]
    return {
        str(source): ", ".join(sorted(rows["licence"].astype(str).unique()))
        for source, rows in trained.groupby("source")
    }


def _main_threshold(spec: DetectorSpec) -> float:
    points = spec.operating_points
    point = points.get("balanced") or next(iter(points.values()))
    return point.threshold


def _log(tracked: TrackedRun, report: EvaluateReport, *, digest: str) -> None:
    prefix = "test_" if report.split == TEST_SPLIT else f"evaluate_{report.split}_"
    tracked.log_dataset(f"faces-{report.split}", digest, "evaluation")
    tracked.log_metrics(report.metrics.scalars(prefix))
    tracked.log_metrics(report.face_metrics.scalars(f"{prefix}face_"))
    worst = worst_slices(report.slices, limit=1)
    if worst:
        tracked.log_metrics({f"{prefix}worst_slice_auc": worst[0].auc.value})
    tracked.log_artifact(report.directory, report.directory.name)
