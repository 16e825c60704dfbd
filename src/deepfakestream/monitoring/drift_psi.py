"""The one place that knows Evidently: PSI of a column, its noise at the sizes at hand, and the report files.

Why a threshold is measured and not only set: PSI grows as samples shrink. Two samples of 60 and 200 rows of
one distribution often differ by more than the customary 0.2 (expected is about `(bins - 1) * (1/n + 1/m)`;
Yurdakul 2018, "Statistical Properties of Population Stability Index"). So a column's threshold is the larger
of the one that was set and of what random re-splits of the pooled rows show.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

METHOD = "psi"
NUM_RESPLITS = 300
NOISE_QUANTILE = 0.995
HTML_FILE = "report.html"
JSON_FILE = "evidently.json"
_BODY = re.compile(r"<body[^>]*>")


def noise_threshold(current: pd.Series, reference: pd.Series, *, kind: str, seed: int) -> float:
    """Return the PSI that chance alone exceeds in one of 200 checks of these two sample sizes.

    Args:
        current: values of the window, `(n,)`, no NaN.
        reference: values of the reference, `(m,)`, no NaN.
        kind: `numerical` or `categorical`.
        seed: of the re-splits.
    """
    statistic, column_type = _statistic(kind)
    pooled = pd.concat([reference, current], ignore_index=True)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(NUM_RESPLITS):
        order = rng.permutation(len(pooled))
        first, second = pooled.iloc[order[: len(reference)]], pooled.iloc[order[len(reference) :]]
        values.append(statistic(first, second, column_type, 0.0)[0])
    return float(np.quantile(values, NOISE_QUANTILE))


def compare(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    kinds: Mapping[str, str],
    thresholds: Mapping[str, float],
    out_dir: Path,
    metadata: Mapping[str, str],
) -> dict[str, tuple[float, bool]]:
    """Run Evidently's report and return PSI and verdict of every column.

    Args:
        current: the window; every column of `kinds` has at least one value.
        reference: the same columns of the reference.
        kinds: column name to `numerical` or `categorical`.
        thresholds: column name to the PSI from which it counts as drifted.
        out_dir: folder that `report.html` and `evidently.json` are written to.
        metadata: goes into the report.
    """
    evidently, value_drift = _evidently()
    definition = evidently.DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "numerical"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "categorical"],
    )
    metrics = [value_drift(column=name, method=METHOD, threshold=thresholds[name]) for name in kinds]
    report = evidently.Report(metrics, include_tests=True, metadata=dict(metadata))
    snapshot = report.run(
        *(
            evidently.Dataset.from_pandas(frame[list(kinds)], data_definition=definition)
            for frame in (current, reference)
        )
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(str(out_dir / HTML_FILE))
    snapshot.save_json(str(out_dir / JSON_FILE))
    return _verdicts(json.loads(snapshot.json()))


def put_on_top(section: str, out_dir: Path) -> None:
    """Write an HTML section of ours at the top of Evidently's page: it knows only what could be compared."""
    page = out_dir / HTML_FILE
    html = page.read_text(encoding="utf-8")
    body = _BODY.search(html)
    assert body is not None, "Evidently's page has a body"
    page.write_text(html[: body.end()] + section + html[body.end() :], encoding="utf-8")


def remove_files(out_dir: Path) -> None:
    """Remove the files of an earlier report, so that they do not outlive it."""
    for name in (HTML_FILE, JSON_FILE):
        (out_dir / name).unlink(missing_ok=True)


def _verdicts(snapshot: dict[str, Any]) -> dict[str, tuple[float, bool]]:
    failed = {
        test["metric_config"]["params"]["column"]: test["status"] == "FAIL" for test in snapshot["tests"]
    }
    values = {metric["config"]["column"]: float(metric["value"]) for metric in snapshot["metrics"]}
    return {name: (value, failed[name]) for name, value in values.items()}


def _evidently() -> tuple[Any, Any]:
    """Import Evidently (4 s) when it is needed; importing it uses deprecated parts of numpy and litestar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import evidently
        from evidently.metrics import ValueDrift
    return evidently, ValueDrift


def _statistic(kind: str) -> tuple[Any, Any]:
    _evidently()
    from evidently.legacy.calculations.stattests import psi_stat_test
    from evidently.legacy.core import ColumnType

    return psi_stat_test.func, ColumnType.Numerical if kind == "numerical" else ColumnType.Categorical
