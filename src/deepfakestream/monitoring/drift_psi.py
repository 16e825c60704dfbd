"""PSI of a column as Evidently computes it, its noise at the sizes at hand, and the report files.

Why a threshold is measured and not only set: PSI grows as samples shrink. Two samples of 60 and 200 rows of
one distribution often differ by more than the customary 0.2 (expected is about `(bins - 1) * (1/n + 1/m)`;
Yurdakul 2018, "Statistical Properties of Population Stability Index"). So a column's threshold is the larger
of the one that was set and of what random re-splits of the pooled rows show.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

METHOD = "psi"
NUM_RESPLITS = 300
NOISE_QUANTILE = 0.995
HTML_FILE = "report.html"
JSON_FILE = "evidently.json"
MIN_BINNED_VALUES = 20
"""Numbers with at most so many distinct values are compared value by value."""
EMPTY_SHARE = 1e-4
"""Share of an empty bin, so that its logarithm exists; less where the smallest bin is as small itself."""


def psi(current: pd.Series, reference: pd.Series, *, kind: str) -> float:
    """Return the population stability index of two samples, as Evidently's report computes it.

    Evidently has it as a part of a report only, which is far too slow for hundreds of re-splits.

    Args:
        current: `(n,)`, no NaN.
        reference: `(m,)`, no NaN.
        kind: `numerical` or `categorical`.
    """
    bins = bin_counts(current, reference, kind=kind)
    return float(_psi(bins.reference, bins.current))


class Bins(NamedTuple):
    """How many values of two samples each bin of a PSI holds, `(bins,)` each."""

    reference: NDArray[np.int64]
    current: NDArray[np.int64]
    labels: list[str]
    """What each bin holds, for people."""


def bin_counts(current: pd.Series, reference: pd.Series, *, kind: str) -> Bins:
    """Return how many values of the reference, and of the window, each bin of their PSI holds.

    Args:
        current: `(n,)`, no NaN.
        reference: `(m,)`, no NaN.
        kind: `numerical` or `categorical`.
    """
    pooled = pd.concat([reference, current], ignore_index=True)
    if kind == "numerical" and reference.nunique() > MIN_BINNED_VALUES:
        edges = np.histogram_bin_edges(pooled.to_numpy(dtype=np.float64), bins="sturges")
        before, now = (np.histogram(sample, edges)[0] for sample in (reference, current))
        return Bins(before, now, [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)])
    codes, values = pd.factorize(pooled, sort=kind == "numerical")
    before, now = (
        np.bincount(part, minlength=len(values))
        for part in (codes[: len(reference)], codes[len(reference) :])
    )
    return Bins(before, now, [f"{value:.4g}" if kind == "numerical" else str(value) for value in values])


def _psi(before: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the PSI of counts by bin, `(..., bins)`."""
    old, new = (_without_zeros(counts / counts.sum(axis=-1, keepdims=True)) for counts in (before, now))
    found: NDArray[np.float64] = np.sum((old - new) * np.log(old / new), axis=-1)
    return found


def _without_zeros(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    smallest = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
    return np.where(shares > 0, shares, np.where(smallest > EMPTY_SHARE, EMPTY_SHARE, smallest / 1e6))


def noise_threshold(current: pd.Series, reference: pd.Series, *, kind: str, seed: int) -> float:
    """Return the PSI that chance alone exceeds in one of 200 checks of these two sample sizes.

    Args:
        current: values of the window, `(n,)`, no NaN.
        reference: values of the reference, `(m,)`, no NaN.
        kind: `numerical` or `categorical`.
        seed: of the re-splits.
    """
    before, now, _ = bin_counts(current, reference, kind=kind)
    pooled = before + now
    # How many values of each bin a random re-split puts on one side: no rows need to be moved for that.
    rng = np.random.default_rng(seed)
    splits = rng.multivariate_hypergeometric(pooled, before.sum(), size=NUM_RESPLITS, method="marginals")
    return float(np.quantile(_psi(splits, pooled - splits), NOISE_QUANTILE))


def compare(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    kinds: Mapping[str, str],
    thresholds: Mapping[str, float],
    out_dir: Path,
    metadata: Mapping[str, str],
) -> tuple[dict[str, tuple[float, bool]], str]:
    """Run Evidently's report and return PSI and verdict of every column, and the page.

    Args:
        current: the window; every column of `kinds` has at least one value.
        reference: the same columns of the reference.
        kinds: column name to `numerical` or `categorical`.
        thresholds: column name to the PSI from which it counts as drifted.
        out_dir: folder that `evidently.json` is written to.
        metadata: goes into the report.

    Returns:
        Column name to its PSI and whether it drifted; and Evidently's page.
    """
    with warnings.catch_warnings():  # importing it (4 s) uses deprecated parts of numpy and litestar
        warnings.simplefilter("ignore", DeprecationWarning)
        import evidently
        from evidently.metrics import ValueDrift
    definition = evidently.DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "numerical"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "categorical"],
    )
    metrics = [ValueDrift(column=name, method=METHOD, threshold=thresholds[name]) for name in kinds]
    report = evidently.Report(metrics, include_tests=True, metadata=dict(metadata))
    snapshot = report.run(
        *(
            evidently.Dataset.from_pandas(frame[list(kinds)], data_definition=definition)
            for frame in (current, reference)
        )
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    snapshot.save_json(str(out_dir / JSON_FILE))
    with TemporaryDirectory() as folder:
        snapshot.save_html(f"{folder}/{HTML_FILE}")
        page = Path(folder, HTML_FILE).read_text(encoding="utf-8")
    content = json.loads(snapshot.json())
    failed = {
        test["metric_config"]["params"]["column"]: test["status"] == "FAIL" for test in content["tests"]
    }
    values = {metric["config"]["column"]: float(metric["value"]) for metric in content["metrics"]}
    return {name: (value, failed[name]) for name, value in values.items()}, page


def write_page(section: str, page: str, out_dir: Path) -> Path:
    """Write one HTML file with a section of ours above Evidently's page, and return its path.

    Args:
        section: HTML; Evidently's page knows only what could be compared.
        page: Evidently's page; it is shown in a frame of its own, as it is.
        out_dir: folder to write to.
    """
    path = out_dir / HTML_FILE
    path.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Drift</title></head>'
        f'<body style="margin:0">{section}<iframe title="Evidently report" '
        f'style="border:0;width:100%;height:90vh" srcdoc="{escape(page)}"></iframe></body></html>\n',
        encoding="utf-8",
    )
    return path


def remove_files(out_dir: Path) -> None:
    """Remove the files of an earlier report, so that they do not outlive it."""
    for name in (HTML_FILE, JSON_FILE):
        (out_dir / name).unlink(missing_ok=True)
