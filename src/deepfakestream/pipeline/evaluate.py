"""The step evaluate: the trained model on the test split, read here and by promote only."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.atomic import PARTIAL_SUFFIX
from deepfakestream.data.versions import DvcRepo
from deepfakestream.evaluation.metrics import FPR_LEVELS, Metrics, measure
from deepfakestream.evaluation.operating import MeasuredPoint, measure_points
from deepfakestream.evaluation.plots import draw_all
from deepfakestream.evaluation.report import ReportContent, render, worst_mistakes
from deepfakestream.evaluation.slices import Slice, measure_slices
from deepfakestream.model.spec import DetectorSpec
from deepfakestream.params import EvaluateParams
from deepfakestream.pipeline.scoring import read_test_items, score_from_store, set_sha256
from deepfakestream.registry.model_files import model_sha256
from deepfakestream.registry.tracking import TrackedRun, resume_run
from deepfakestream.scan.features import FEATURE_NAMES
from deepfakestream.settings import Settings

TRAIN_DIR = "train"
EVALUATE_DIR = "evaluate"
METRICS_FILE = "metrics.json"
SCORES_FILE = "scores.parquet"
REFERENCE_FILE = "reference.parquet"
REPORT_FILE = "report.html"
BOOTSTRAP_SEED = 0
"""Fixed, so that the intervals of two models differ by the models alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReport:
    """What the step measured."""

    metrics: Metrics
    points: tuple[MeasuredPoint, ...]
    slices: tuple[Slice, ...]
    directory: Path
    run_id: str

    def describe(self) -> str:
        """Return the report as a few lines."""
        lines = [f"test: {self.metrics.describe()}"]
        if self.metrics.share_not_applicable:
            lines.append(f"no score for {self.metrics.share_not_applicable:.1%} of the files: no usable face")
        lines += [
            f"at '{point.name}' (p_fake >= {point.threshold:.3f}): {point.fpr} of the reals are called fake, "
            f"{point.tpr} of the fakes are caught"
            for point in self.points[:1]
        ]
        measured = [each for each in self.slices if each.metrics]
        lines.append(f"{len(measured)} of {len(self.slices)} slices have enough files for numbers")
        lines.append(f"report: {self.directory / REPORT_FILE}; MLflow run {self.run_id}")
        return "\n".join(lines)


def run(params: EvaluateParams, *, settings: Settings) -> EvaluateReport:
    """Measure `artifacts/train` on the test split; write `artifacts/evaluate`; log to the training run.

    It holds `metrics.json`, `scores.parquet` (a row a file), `reference.parquet` (what drift of this model is
    measured against), `plots/` and `report.html`, and is replaced as a whole or not at all.

    Raises:
        DataError: no test items, no crops, or crops made otherwise than the model expects.
        WeightsError: the model folder is incomplete or damaged.
        ServerError: the tracking server does not answer; nothing has been done then.
    """
    from deepfakestream.model.folder import weights_sha256
    from deepfakestream.model.scoring import open_scorer

    train_dir = settings.artifacts_dir / TRAIN_DIR
    digest = model_sha256(train_dir)
    with resume_run(
        settings, run_id=read_run_id(train_dir), name=f"evaluate {digest[:8]}", tags={}
    ) as tracked:
        items = read_test_items(settings)
        scorer = open_scorer(train_dir, device=settings.device, version="candidate")
        scores = score_from_store(items, scorer, settings)
        measured = _measure(scores, scorer.spec, params, settings=settings, run_id=tracked.run_id)
        facts = {
            "weights_sha256": weights_sha256(train_dir),
            "model_sha256": digest,
            "run_id": tracked.run_id,
            "test_set_sha256": set_sha256(items),
            "dvc_data_md5": DvcRepo(settings.workspace).data_digest(),
        }
        _write(measured, scores, scorer.spec, facts)
        _log(tracked, measured)
    return measured


def read_run_id(train_dir: Path) -> str | None:
    """Return the MLflow run that trained the model of a folder, or None where it does not say."""
    path = train_dir / "run.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8")).get("run_id")
    return None if found is None else str(found)


def _measure(
    scores: pd.DataFrame, spec: DetectorSpec, params: EvaluateParams, *, settings: Settings, run_id: str
) -> EvaluateReport:
    points = measure_points(scores, spec.operating_points)
    threshold = _main_threshold(spec)
    levels = tuple(sorted({params.low_fpr, *FPR_LEVELS}))
    return EvaluateReport(
        metrics=measure(
            scores,
            num_bootstrap=params.num_bootstrap,
            seed=BOOTSTRAP_SEED,
            threshold=threshold,
            fpr_levels=levels,
        ),
        points=points,
        slices=measure_slices(
            scores, threshold=threshold, num_bootstrap=params.num_bootstrap, seed=BOOTSTRAP_SEED
        ),
        directory=settings.artifacts_dir / EVALUATE_DIR,
        run_id=run_id,
    )


def _main_threshold(spec: DetectorSpec) -> float:
    points = spec.operating_points
    point = points.get("balanced") or next(iter(points.values()))
    return point.threshold


def _write(report: EvaluateReport, scores: pd.DataFrame, spec: DetectorSpec, facts: dict[str, Any]) -> None:
    partial = report.directory.with_name(report.directory.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "plots").mkdir(parents=True)
    plots = draw_all(scores, report.slices, auc=report.metrics["auc"], threshold=report.metrics.threshold)
    for name, png in plots.items():
        (partial / "plots" / f"{name}.png").write_bytes(png)
    scores.to_parquet(partial / SCORES_FILE, index=False)
    scores[["p_fake", *FEATURE_NAMES]].to_parquet(partial / REFERENCE_FILE, index=False)
    (partial / METRICS_FILE).write_text(
        json.dumps(_as_json(report, facts), indent=2) + "\n", encoding="utf-8"
    )
    page = ReportContent(
        title="How good the detector is on files it never saw",
        facts=_as_words(spec, facts),
        metrics=report.metrics,
        points=report.points,
        slices=report.slices,
        mistakes=worst_mistakes(scores, threshold=report.metrics.threshold),
        plots=plots,
    )
    (partial / REPORT_FILE).write_text(render(page), encoding="utf-8")
    shutil.rmtree(report.directory, ignore_errors=True)
    partial.rename(report.directory)


def _as_json(report: EvaluateReport, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        **facts,
        "metrics": report.metrics.model_dump(mode="json"),
        "operating_points": {point.name: point.model_dump(mode="json") for point in report.points},
        "slices": [each.model_dump(mode="json") for each in report.slices],
    }


def _as_words(spec: DetectorSpec, facts: dict[str, Any]) -> dict[str, str]:
    network = spec.network
    return {
        "Network": f"{network.variant}, {network.backbone}, {network.pooling} pooling",
        "Weights (sha256)": facts["weights_sha256"],
        "Trained on": spec.trained_on,
        "MLflow run": facts["run_id"],
        "Test set (sha256 of its ids)": facts["test_set_sha256"],
        "Data version (DVC md5)": facts["dvc_data_md5"] or "not recorded",
    }


def _log(tracked: TrackedRun, report: EvaluateReport) -> None:
    tracked.log_metrics(report.metrics.scalars("test_"))
    tracked.log_artifact(report.directory, "evaluate")
