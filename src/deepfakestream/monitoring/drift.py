"""The drift check: the newest predictions against the reference of the model that made them.

A window has drifted when the share of drifted columns reaches `share_threshold`, when the score itself
(`p_fake`) has drifted, when one column about the picture or its compression drifted strongly, or when the
embeddings have drifted. Small samples give `too_few`, never drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from deepfakestream.monitoring import drift_psi
from deepfakestream.monitoring.drift_columns import clean, not_comparable
from deepfakestream.monitoring.drift_report import ColumnDrift, DriftReport, Status
from deepfakestream.monitoring.embedding_drift import EmbeddingDrift, check_embeddings
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.performance import Performance
from deepfakestream.monitoring.prediction_log import FEATURES

SCORE = "p_fake"
PICTURE_COLUMNS = ("sharpness", "luma", "detector_score", "coded_bits_per_px")
"""Columns that say how good a picture is. A format, e.g. another size, may change without harm."""
REPORT_FILE = "drift.json"
STRONG_RATIO = 1.5
"""A strong column's PSI is at least so many times its threshold, which holds what chance alone shows."""
_SEED = 0


def check(  # noqa: PLR0913 - each is a source of its own
    current: pd.DataFrame,
    reference: pd.DataFrame | None,
    params: DriftParams,
    *,
    out_dir: Path,
    model_version: str,
    newest: pd.DataFrame | None = None,
    performance: Performance | None = None,
    window_id: str = "",
    features: Mapping[str, str] = FEATURES,
) -> DriftReport:
    """Compare a window of predictions with the reference; write HTML and JSON.

    Args:
        current: newest predictions, one row each: `p_fake` and the feature columns.
        reference: the same columns, `embedding` and `group` of the files that the model was measured on;
            None while no champion is registered, as the model inside the package has none.
        params: window sizes and thresholds.
        out_dir: folder for `drift.json` (the returned report) and, where something could be compared,
            `report.html`, our findings above Evidently's page, and `evidently.json`; an earlier check's are
            removed.
        model_version: version whose reference this is.
        newest: `embedding`, `media_sha256` and `client` of these predictions, or of the newest of them; None:
            embeddings are not looked at.
        performance: what is known about the model on this traffic, for the report.
        window_id: id of the newest prediction.
        features: feature column to its kind, `numerical` or `categorical`.

    Returns:
        The report; `status` is `too_few` where either side has fewer than `params.min_window` rows, or no
        column has that many values; `no_champion` without a reference.
    """
    kinds = {SCORE: "numerical", **features}
    out_dir.mkdir(parents=True, exist_ok=True)
    drift_psi.remove_files(out_dir)
    minimum = params.min_window
    status: Status = "too_few"
    share, page = 0.0, ""
    columns: tuple[ColumnDrift, ...] = ()
    embedding = EmbeddingDrift()
    if reference is None:
        status, reason = (
            "no_champion",
            "nothing to compare with: no champion is registered; promote a version",
        )
    elif len(current) < minimum:
        reason = f"a check needs {minimum} predictions of this model version (drift.min_window)"
    elif len(reference) < minimum:
        reason = f"a check needs {minimum} rows of reference (drift.min_window); evaluate on more files"
    else:
        columns, page = _columns(current, reference, kinds, params, out_dir, model_version)
        if newest is not None:
            embedding = check_embeddings(newest, reference, minimum=minimum, alpha=params.embedding_alpha)
        status, share, reason = judge(columns, embedding, params)
    report = DriftReport(
        status=status,
        model_version=model_version,
        n_current=len(current),
        n_reference=0 if reference is None else len(reference),
        share=share,
        columns=columns,
        embedding=embedding,
        performance=performance or Performance(),
        window_id=window_id,
        reason=reason,
        html=out_dir / drift_psi.HTML_FILE if page else None,
        json_path=out_dir / REPORT_FILE,
    )
    if page:
        drift_psi.write_page(report.as_html(), page, out_dir)
    (out_dir / REPORT_FILE).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return report


def _columns(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    kinds: Mapping[str, str],
    params: DriftParams,
    out_dir: Path,
    model_version: str,
) -> tuple[tuple[ColumnDrift, ...], str]:
    """Return the finding on every column, and Evidently's page on those that could be compared."""
    now, before = clean(current, kinds), clean(reference, kinds)
    findings = not_comparable(now, before, kinds, minimum=params.min_window)
    comparable = {name: kind for name, kind in kinds.items() if name not in findings}
    page = ""
    if comparable:
        thresholds = {
            name: max(
                params.num_threshold,
                drift_psi.noise_threshold(now[name].dropna(), before[name].dropna(), kind=kind, seed=_SEED),
            )
            for name, kind in comparable.items()
        }
        results, page = drift_psi.compare(
            now,
            before,
            kinds=comparable,
            thresholds=thresholds,
            out_dir=out_dir,
            metadata={"model_version": model_version},
        )
        for name, (value, drifted) in results.items():
            findings[name] = ColumnDrift(
                name=name, kind=kinds[name], drifted=drifted, value=value, threshold=thresholds[name]
            )
    return tuple(findings[name] for name in kinds), page


def judge(
    columns: tuple[ColumnDrift, ...], embedding: EmbeddingDrift, params: DriftParams
) -> tuple[Status, float, str]:
    """Return what the findings on a window mean together: status, share of drifted columns, and why.

    Args:
        columns: the finding on each.
        embedding: the finding on the embeddings.
        params: thresholds.
    """
    judged = [column for column in columns if column.value is not None or column.drifted]
    drifted = [column.name for column in judged if column.drifted]
    if not judged and embedding.distance is None:
        return "too_few", 0.0, f"no column has {params.min_window} values on both sides (drift.min_window)"
    share = len(drifted) / len(judged) if judged else 0.0
    found = f"{len(drifted)} of {len(judged)} columns drifted"
    signals = [f"the score {SCORE} among them"] if SCORE in drifted else []
    strong = [
        one.name
        for one in judged
        if one.name in PICTURE_COLUMNS
        and one.drifted
        and (one.value or 0.0) >= max(params.strong_threshold, STRONG_RATIO * (one.threshold or 0.0))
    ]
    if strong:
        signals.append(f"{' and '.join(strong)} strongly (drift.strong_threshold)")
    if embedding.drifted:
        signals.append(f"the embeddings have drifted (p = {embedding.p_value:.2g}, drift.embedding_alpha)")
    if signals:
        return "drift", share, f"{found}, {', '.join(signals)}"
    if drifted and share >= params.share_threshold:
        return "drift", share, f"{found}, from {params.share_threshold:.0%} on a window counts as drifted"
    return "ok", share, found
