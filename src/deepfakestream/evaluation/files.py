"""The files of an evaluation: tables, metrics, pictures and the page, written as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.digests import set_sha256
from deepfakestream.errors import DataError
from deepfakestream.evaluation.dvc_files import write_dvc_files
from deepfakestream.evaluation.metrics import MeasuredPoint, Metrics
from deepfakestream.evaluation.model_card import render_card
from deepfakestream.evaluation.plots import draw_robustness, draw_scores, draw_slices, draw_training
from deepfakestream.evaluation.report import ReportContent, render, worst_mistakes
from deepfakestream.evaluation.robustness import RobustnessCard
from deepfakestream.evaluation.scores import read_items
from deepfakestream.evaluation.slices import Gap, Slice, worst_slices
from deepfakestream.host.whole_files import replacing_folder
from deepfakestream.model.folder import CARD_FILE, model_sha256
from deepfakestream.model.spec import DetectorSpec
from deepfakestream.scanning.features import FEATURE_NAMES, MEASURED_ON_CROPS

METRICS_FILE = "metrics.json"
SCORES_FILE = "scores.parquet"
FACES_FILE = "faces.parquet"
REFERENCE_FILE = "reference.parquet"
REPORT_FILE = "report.html"

ATTACHED = (REFERENCE_FILE, METRICS_FILE, CARD_FILE)
"""Files of the evaluation that a version brings along."""
FACTS = ("model_sha256", "weights_sha256", "test_set_sha256", "run_id")
"""What is needed of `metrics.json` besides the metrics."""
TRUTH = ("media_id", "label", "manipulation", "group_id")
"""Columns of a test file that decide what its score is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateReport:
    """What the step measured."""

    split: str
    metrics: Metrics
    face_metrics: Metrics
    points: tuple[MeasuredPoint, ...]
    slices: tuple[Slice, ...]
    gaps: tuple[Gap, ...]
    robustness: RobustnessCard
    caveats: tuple[str, ...]
    directory: Path
    run_id: str

    def describe(self) -> str:
        """Return the report as a few lines."""
        lines = [f"{self.split}: {self.metrics.describe()}"]
        if self.face_metrics.n > self.metrics.n:
            lines.append(f"single faces: {self.face_metrics.describe()}")
        if self.metrics.share_not_applicable:
            lines.append(f"no score for {self.metrics.share_not_applicable:.1%} of the files: no usable face")
        lines += [
            f"at '{point.name}' (p_fake >= {point.threshold:.3f}): FPR {point.fpr}, TPR {point.tpr}"
            for point in self.points[:1]
        ]
        lines += [
            f"worst slice: {each.title}, AUC {each.auc}, {each.n_real} real and {each.n_fake} fake"
            for each in worst_slices(self.slices, limit=1)
        ]
        lines += [f"mind: {sentence}" for sentence in self.caveats[:3]]
        lines.append(f"report: {self.directory / REPORT_FILE}; MLflow run {self.run_id}")
        return "\n".join(lines)


def write_files(
    report: EvaluateReport,
    tables: Mapping[str, pd.DataFrame],
    spec: DetectorSpec,
    facts: Mapping[str, Any],
    *,
    history: Sequence[Mapping[str, float]],
    licences: Mapping[str, str],
) -> None:
    """Replace the report's folder.

    Args:
        report: what was measured, and where it goes.
        tables: `scores`, a row a file, and `faces`, a row a crop.
        spec: of the model.
        facts: digests and names of model, data and run.
        history: metrics of the training's epochs.
        licences: source of training data to its licence notes.
    """
    scores = tables["scores"]
    plots = _draw(report, scores, history)
    page = _page(report, scores, spec, facts, plots)
    card = render_card(page, licences=licences, trained_on=spec.trained_on)
    with replacing_folder(report.directory) as partial:
        (partial / "plots").mkdir()
        for name, png in plots.items():
            (partial / "plots" / f"{name}.png").write_bytes(png)
        scores.to_parquet(partial / SCORES_FILE, index=False)
        tables["faces"].to_parquet(partial / FACES_FILE, index=False)
        drift_reference(scores).to_parquet(partial / REFERENCE_FILE, index=False)
        (partial / METRICS_FILE).write_text(
            json.dumps(_as_json(report, facts), indent=2) + "\n", encoding="utf-8"
        )
        write_dvc_files(
            partial,
            metrics=report.metrics,
            face_metrics=report.face_metrics,
            slices=report.slices,
            scores=scores,
        )
        (partial / REPORT_FILE).write_text(render(page), encoding="utf-8")
        (partial / CARD_FILE).write_text(card, encoding="utf-8")


def drift_reference(scores: pd.DataFrame) -> pd.DataFrame:
    """Return what predictions are compared with: `p_fake`, the drift features and embeddings.

    What was not measured is NaN or None. `group` numbers the source groups, whose files are of one source.

    Args:
        scores: one row a file, from `scores.score_media`.
    """
    reference = scores[["p_fake", *FEATURE_NAMES, "embedding"]].copy()
    reference["group"] = pd.factorize(scores["group_id"])[0]
    unmeasured = [name for name in FEATURE_NAMES if name not in MEASURED_ON_CROPS]
    is_crop = scores["is_crop"].astype(bool)
    reference.loc[is_crop, unmeasured] = float("nan")
    # Such a crop is framed otherwise than the service would frame the same face.
    reference.loc[is_crop, "embedding"] = None
    return reference


def _draw(
    report: EvaluateReport, scores: pd.DataFrame, history: Sequence[Mapping[str, float]]
) -> dict[str, bytes]:
    auc = report.metrics["auc"]
    return {
        **draw_scores(scores, auc=auc, threshold=report.metrics.threshold),
        "slices": draw_slices(report.slices, auc=auc),
        "robustness": draw_robustness(report.robustness),
        "training": draw_training(history),
    }


def _page(
    report: EvaluateReport,
    scores: pd.DataFrame,
    spec: DetectorSpec,
    facts: Mapping[str, Any],
    plots: Mapping[str, bytes],
) -> ReportContent:
    seen = "it never saw" if report.split == "test" else f"of the split '{report.split}', which chose it"
    return ReportContent(
        title=f"How good the detector is on files {seen}",
        facts=_as_words(spec, facts),
        caveats=report.caveats,
        metrics=report.metrics,
        face_metrics=report.face_metrics,
        points=report.points,
        slices=report.slices,
        gaps=report.gaps,
        robustness=report.robustness,
        mistakes=worst_mistakes(scores, threshold=report.metrics.threshold),
        plots=plots,
    )


def _as_json(report: EvaluateReport, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        **facts,
        "metrics": report.metrics.model_dump(mode="json"),
        "face_metrics": report.face_metrics.model_dump(mode="json"),
        "operating_points": {point.name: point.model_dump(mode="json") for point in report.points},
        "slices": [each.model_dump(mode="json") for each in report.slices],
        "gaps": [each.model_dump(mode="json") for each in report.gaps],
        "robustness": report.robustness.model_dump(mode="json"),
        "caveats": list(report.caveats),
    }


def _as_words(spec: DetectorSpec, facts: Mapping[str, Any]) -> dict[str, str]:
    network, calibration = spec.network, spec.calibration
    aggregation = (
        f"{spec.aggregation.frames} over frames, {spec.aggregation.tracks} over tracks of at least "
        f"{spec.aggregation.min_track_frames} frames"
    )
    if spec.aggregation.chosen_by:
        aggregation += f" ({spec.aggregation.chosen_by})"
    return {
        "Network": f"{network.variant}, {network.backbone}, {network.global_pool} pooling",
        "Aggregation": aggregation,
        "Calibration": f"{calibration.method}: slope {calibration.slope:.3f}, "
        f"intercept {calibration.intercept:.3f}",
        "Weights (sha256)": facts["weights_sha256"],
        "Trained on": spec.trained_on,
        "MLflow run": facts["run_id"],
        "Files (sha256 of their ids)": facts["test_set_sha256"],
        "Data version (DVC md5)": facts["dvc_data_md5"] or "not recorded",
    }


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
    # The digest of the test set is that of its ids: labels and groups are compared by themselves.
    scored, known = (
        table[list(TRUTH)].astype(str).sort_values("media_id").to_numpy()
        for table in (evaluation.scores, items)
    )
    if not (scored == known).all():
        raise DataError(
            f"{directory}: labels or source groups of test files were corrected since; "
            "run 'dvc repro evaluate'"
        )
    return evaluation
