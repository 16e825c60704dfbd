"""The four pictures of an evaluation, as PNG bytes: ROC, reliability, score histogram, slices.

Drawn on canvases of their own (no pyplot, no global state), so that they may be made in any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepfakestream.evaluation.curves import mass_bins, roc_curve
from deepfakestream.evaluation.metrics import Estimate
from deepfakestream.evaluation.slices import Slice

REAL_COLOUR = "#2a6f97"
FAKE_COLOUR = "#d1495b"
INK = "#22313f"
FAINT = "#c9d1d8"
DPI = 120
TERCILE_TITLES = {"face_px": "face size", "sharpness": "sharpness", "luma": "luma"}


def draw_all(
    scores: pd.DataFrame, slices: Sequence[Slice], *, auc: Estimate, threshold: float
) -> dict[str, bytes]:
    """Return PNG bytes by name: `roc`, `reliability`, `histogram`, `slices`.

    Args:
        scores: scored files, columns as for `metrics.measure`; rows without a score are left out.
        slices: what `slices.measure_slices` returned for them.
        auc: of all files, drawn in the slices' picture for comparison.
        threshold: p_fake from which a file counts as fake.
    """
    scored = scores[scores["p_fake"].notna()]
    is_fake = (scored["label"] == "fake").to_numpy()
    p_fake = scored["p_fake"].to_numpy(dtype=np.float64)
    return {
        "roc": draw_roc(is_fake, p_fake, auc=auc),
        "reliability": draw_reliability(is_fake, p_fake),
        "histogram": draw_histogram(is_fake, p_fake, threshold=threshold),
        "slices": draw_slices(slices, auc=auc),
    }


def draw_roc(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64], *, auc: Estimate) -> bytes:
    """Return the ROC curve, with the rates of 1 % and 5 % marked."""
    figure, axes = _new("ROC curve", "false-positive rate (reals called fake)", "fakes caught")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    curve = roc_curve(is_fake, p_fake)
    if curve is None:
        _say(axes, "needs real and fake files")
    else:
        axes.plot(curve.fpr, curve.tpr, color=INK, linewidth=2)
        axes.fill_between(curve.fpr, curve.tpr, color=INK, alpha=0.06)
        axes.text(0.97, 0.05, f"AUC {auc}", ha="right", transform=axes.transAxes, fontsize=11, color=INK)
    for level in (0.01, 0.05):
        axes.axvline(level, color=FAKE_COLOUR, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    return _png(figure)


def draw_reliability(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64]) -> bytes:
    """Return the reliability diagram: p_fake against the share of fakes, by bins of equal mass."""
    figure, axes = _new("Reliability", "mean p_fake in the bin", "share of fakes in the bin")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    if len(p_fake) == 0:
        _say(axes, "no file has a score")
    else:
        bins = mass_bins(p_fake)
        counts = np.bincount(bins)
        used = counts > 0
        said = (np.bincount(bins, weights=p_fake)[used]) / counts[used]
        true = (np.bincount(bins, weights=is_fake.astype(float))[used]) / counts[used]
        axes.vlines(said, said, true, color=FAKE_COLOUR, linewidth=1.2, alpha=0.7)
        axes.plot(said, true, "o-", color=INK, linewidth=1.2, markersize=6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    return _png(figure)


def draw_histogram(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64], *, threshold: float) -> bytes:
    """Return the histogram of scores by class, with the threshold."""
    figure, axes = _new("Scores", "p_fake", "files")
    edges = np.linspace(0.0, 1.0, 26)
    for label, chosen, colour in (("real", ~is_fake, REAL_COLOUR), ("fake", is_fake, FAKE_COLOUR)):
        text = f"{label} ({int(chosen.sum())})"
        axes.hist(p_fake[chosen], bins=edges.tolist(), color=colour, alpha=0.6, label=text)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.legend(loc="upper center", facecolor="white", edgecolor="none", framealpha=0.85, fontsize=9)
    axes.set_xlim(0, 1)
    return _png(figure)


def draw_slices(slices: Sequence[Slice], *, auc: Estimate) -> bytes:
    """Return the AUC of each slice with its interval; slices with too few files are named, not measured."""
    figure, axes = _new("AUC by slice", "AUC (95 % interval)", "", height=max(2.6, 0.34 * len(slices) + 1.4))
    labels = [f"{TERCILE_TITLES.get(each.column, 'fake by')} {each.name}" for each in slices]
    positions = np.arange(len(slices))[::-1]
    for position, each in zip(positions, slices, strict=True):
        _slice_row(axes, float(position), each)
    if auc.value is not None:
        axes.axvline(
            auc.value, color=FAKE_COLOUR, linewidth=1, linestyle="--", label=f"all files: {auc.value:.3f}"
        )
        axes.legend(frameon=False, loc="lower left")
    axes.set_yticks(positions.tolist(), labels, fontsize=9)
    axes.set_xlim(min(0.5, _lowest(slices)), 1.01)
    axes.set_ylim(-0.7, max(len(slices) - 0.3, 0.7))
    if not slices:
        _say(axes, "no slices")
    return _png(figure)


def _slice_row(axes: Axes, position: float, each: Slice) -> None:
    estimate = each.metrics["auc"] if each.metrics else None
    if estimate is None or estimate.value is None:
        text = f"too few files ({each.n_real} real, {each.n_fake} fake)"
        axes.text(
            0.02,
            position,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color="#7b8794",
            style="italic",
        )
        return
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(position, estimate.low, estimate.high, color=REAL_COLOUR, linewidth=5, alpha=0.35)
    axes.plot(estimate.value, position, "o", color=REAL_COLOUR, markersize=7)


def _lowest(slices: Sequence[Slice]) -> float:
    found = [each.metrics["auc"] for each in slices if each.metrics]
    values = [estimate.low if estimate.low is not None else estimate.value for estimate in found]
    return min((value - 0.02 for value in values if value is not None), default=0.5)


def _new(title: str, x_label: str, y_label: str, *, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#7b8794")


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    # Without the version of matplotlib in it, the same scores give the same bytes.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
