"""Plots of an evaluation, as PNG bytes: scores, slices, robustness, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import norm

from deepfakestream.canvas import (
    FAINT,
    FAKE_COLOUR,
    INK,
    REAL_COLOUR,
    SOFT,
    dress,
    new_axes,
    new_figure,
    png_bytes,
    say,
)
from deepfakestream.evaluation.curves import mass_bins, roc_curve
from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.evaluation.robustness import Condition, RobustnessCard
from deepfakestream.evaluation.slices import Slice

DET_TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
DET_RANGE = (0.004, 0.96)

COLUMNS = 4
KIND_COLOURS = ("#2a6f97", "#d1495b", "#3a7d44", "#8d5a97", "#c98a1b", "#4d6a6d", "#a23e48")


def draw_scores(scores: pd.DataFrame, *, auc: Estimate, threshold: float) -> dict[str, bytes]:
    """Return PNG bytes by name: `histogram`, `roc`, `det`, `reliability`.

    Args:
        scores: scored files, columns as for `metrics.measure`; rows without a score are left out.
        auc: of all files.
        threshold: p_fake from which a file counts as fake.
    """
    scored = scores[scores["p_fake"].notna()]
    is_fake = (scored["label"] == "fake").to_numpy()
    p_fake = scored["p_fake"].to_numpy(dtype=np.float64)
    return {
        "histogram": draw_histogram(is_fake, p_fake, threshold=threshold),
        "roc": draw_roc(is_fake, p_fake, auc=auc),
        "det": draw_det(is_fake, p_fake),
        "reliability": draw_reliability(is_fake, p_fake),
    }


def draw_roc(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64], *, auc: Estimate) -> bytes:
    """Return the ROC curve, with the rates of 1 % and 5 % marked.

    Args:
        is_fake: `(N,)`, True for fakes.
        p_fake: `(N,)`, probability of a fake.
        auc: its value and interval are written into the plot.
    """
    figure, axes = new_axes("ROC curve", "false positive rate (FPR)", "true positive rate (TPR)")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    curve = roc_curve(is_fake, p_fake)
    if curve is None:
        say(axes, "needs real and fake files")
    else:
        axes.plot(curve.fpr, curve.tpr, color=INK, linewidth=2)
        axes.fill_between(curve.fpr, curve.tpr, color=INK, alpha=0.06)
        axes.text(0.97, 0.05, f"AUC {auc}", ha="right", transform=axes.transAxes, fontsize=11, color=INK)
    for level in (0.01, 0.05):
        axes.axvline(level, color=FAKE_COLOUR, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    return png_bytes(figure)


def draw_det(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64]) -> bytes:
    """Return the detection error trade-off: misses against false alarms, both on a normal-deviate scale.

    On it two normal score distributions give a straight line (Martin et al., Eurospeech 1997), and the rare
    errors that matter take as much room as the common ones.

    Args:
        is_fake: `(N,)`, True for fakes.
        p_fake: `(N,)`, probability of a fake.
    """
    figure, axes = new_axes("DET curve", "false positive rate (FPR)", "false negative rate (FNR)")
    curve = roc_curve(is_fake, p_fake)
    if curve is None:
        say(axes, "needs real and fake files")
    else:
        low, high = DET_RANGE
        inside = (curve.fpr > 0) & (curve.tpr < 1)
        axes.plot(_deviate(curve.fpr[inside]), _deviate(1 - curve.tpr[inside]), color=INK, linewidth=2)
        if not inside.any():
            say(axes, "no threshold makes both errors")
        rate = curve.equal_error_rate
        if low < rate < high:
            axes.plot(_deviate(rate), _deviate(rate), "o", color=FAKE_COLOUR)
            axes.annotate(
                f"equal error rate {rate:.3f}",
                (float(_deviate(rate)), float(_deviate(rate))),
                textcoords="offset points",
                xytext=(8, 8),
                color=FAKE_COLOUR,
            )
    ends = _deviate(np.array(DET_RANGE)).tolist()
    axes.plot(ends, ends, color=FAINT, linewidth=1)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(_deviate(np.array(DET_TICKS)).tolist(), [f"{100 * tick:g} %" for tick in DET_TICKS])
        axis.set_tick_params(labelsize=8)
    return png_bytes(figure)


def _deviate(rates: Any) -> Any:
    return norm.ppf(rates)


def draw_reliability(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64]) -> bytes:
    """Return the reliability diagram: p_fake against the share of fakes, by bins of equal mass.

    Args:
        is_fake: `(N,)`, True for fakes.
        p_fake: `(N,)`, probability of a fake.
    """
    figure, axes = new_axes("Reliability", "mean p_fake in the bin", "share of fakes in the bin")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    if len(p_fake) == 0:
        say(axes, "no file has a score")
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
    return png_bytes(figure)


def draw_histogram(is_fake: NDArray[np.bool_], p_fake: NDArray[np.float64], *, threshold: float) -> bytes:
    """Return the histogram of scores by class, with the threshold.

    Args:
        is_fake: `(N,)`, True for fakes.
        p_fake: `(N,)`, probability of a fake.
        threshold: `p_fake` from which a file is called fake.
    """
    figure, axes = new_axes("Scores", "p_fake", "files")
    edges = np.linspace(0.0, 1.0, 26)
    for label, chosen, colour in (("real", ~is_fake, REAL_COLOUR), ("fake", is_fake, FAKE_COLOUR)):
        text = f"{label} ({int(chosen.sum())})"
        axes.hist(p_fake[chosen], bins=edges.tolist(), color=colour, alpha=0.6, label=text)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.legend(loc="upper center", facecolor="white", edgecolor="none", framealpha=0.85, fontsize=9)
    axes.set_xlim(0, 1)
    return png_bytes(figure)


def draw_slices(slices: Sequence[Slice], *, auc: Estimate) -> bytes:
    """Return the AUC of each slice with its interval; slices with too few files are named, not measured.

    Args:
        slices: parts of the split with their measurements.
        auc: its value and interval are written into the plot.
    """
    title = "AUC by slice" if auc.value is None else f"AUC by slice; dashed: all files, {auc.value:.3f}"
    height = max(2.6, 0.24 * len(slices) + 1.2)
    figure, axes = new_axes(title, "AUC (95 % interval)", "", width=11, height=height)
    labels = [f"{each.title} (n {each.n_real + each.n_fake})" for each in slices]
    positions = np.arange(len(slices))[::-1]
    for position, each in zip(positions, slices, strict=True):
        _slice_row(axes, float(position), each)
    if auc.value is not None:
        axes.axvline(auc.value, color=FAKE_COLOUR, linewidth=1, linestyle="--")
    axes.set_yticks(positions.tolist(), labels, fontsize=8)
    values = [each.auc.low if each.auc.low is not None else each.auc.value for each in slices]
    axes.set_xlim(min([0.5, *(value - 0.02 for value in values if value is not None)]), 1.01)
    axes.set_ylim(-0.7, max(len(slices) - 0.3, 0.7))
    if not slices:
        say(axes, "no slices")
    return png_bytes(figure)


def _slice_row(axes: Axes, position: float, each: Slice) -> None:
    estimate = each.auc
    if estimate.value is None:
        text = f"too few files ({each.n_real} real, {each.n_fake} fake)"
        axes.text(
            0.02,
            position,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=SOFT,
            style="italic",
        )
        return
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(position, estimate.low, estimate.high, color=REAL_COLOUR, linewidth=5, alpha=0.35)
    axes.plot(estimate.value, position, "o", color=REAL_COLOUR, markersize=7)


def draw_robustness(card: RobustnessCard) -> bytes:
    """Return a panel for each kind of perturbation: AUC, FPR, TPR, mild to harsh."""
    ladders = card.ladders()
    if not ladders:
        figure = new_figure(width=11, height=2.2)
        axes = figure.add_subplot()
        dress(axes, "Robustness", "", "")
        say(axes, "not measured")
        return png_bytes(figure)
    rows = -(-(len(ladders) + 1) // COLUMNS)
    figure = new_figure(width=11, height=2.7 * rows)
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for axes, (kind, conditions) in zip(grid.flat, ladders, strict=False):
        _draw_ladder(axes, kind, conditions, card)
    for axes in list(grid.flat)[len(ladders) :]:
        axes.set_axis_off()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    list(grid.flat)[len(ladders)].legend(handles, labels, loc="center", frameon=False)
    return png_bytes(figure)


def _draw_ladder(axes: Axes, kind: str, conditions: Sequence[Condition], card: RobustnessCard) -> None:
    dress(axes, kind, "", "", title_size=10)
    places = np.arange(len(conditions) + 1)
    base = card.auc or 0.0
    bounds = [(base, base)]
    for each in conditions:
        low, high = each.auc_change.low, each.auc_change.high
        known = low is not None and high is not None
        bounds.append((base + low, base + high) if known else (np.nan, np.nan))  # type: ignore[operator]
    lows, highs = zip(*bounds, strict=True)
    axes.fill_between(places, lows, highs, color=INK, alpha=0.12, linewidth=0)
    axes.plot(places, [base, *_values(conditions, "auc")], "o-", color=INK, markersize=4, label="AUC")
    for name, start, colour, text in (
        ("fpr", card.fpr, REAL_COLOUR, "FPR"),
        ("tpr", card.tpr, FAKE_COLOUR, "TPR"),
    ):
        values = [np.nan if start is None else start, *_values(conditions, name)]
        axes.plot(places, values, "o--", color=colour, markersize=3, linewidth=1.2, label=text)
    axes.set_xticks(places.tolist(), ["as is", *(each.level for each in conditions)], fontsize=8)
    axes.set_ylim(-0.02, 1.02)


def _values(conditions: Sequence[Condition], name: str) -> list[float]:
    found = (getattr(each, name) for each in conditions)
    return [np.nan if value is None else float(value) for value in found]


def draw_training(history: Sequence[Mapping[str, float]]) -> bytes:
    """Return the training loss and the validation AUCs by epoch, with the epoch of the best mean AUC."""
    figure = new_figure(width=11, height=3.4)
    loss, auc = figure.subplots(1, 2)
    dress(loss, "Training loss", "epoch", "")
    dress(auc, "Validation AUC", "epoch", "")
    epochs = np.arange(1, len(history) + 1)
    if not history:
        say(loss, "no history next to the model")
        say(auc, "no history next to the model")
        return png_bytes(figure)
    loss.plot(epochs, [each.get("train_loss", np.nan) for each in history], "o-", color=INK)
    kinds = sorted({name for each in history for name in each if name.startswith("val_auc_")})
    for index, name in enumerate(kinds):
        colour = KIND_COLOURS[index % len(KIND_COLOURS)]
        text = name.removeprefix("val_auc_").replace("_", " ")
        auc.plot(
            epochs, [each.get(name, np.nan) for each in history], "o-", color=colour, label=text, alpha=0.7
        )
    mean = np.array([each.get("val_auc", np.nan) for each in history])
    auc.plot(epochs, mean, "o-", color=INK, linewidth=2.5, label="mean")
    if np.isfinite(mean).any():
        best = int(epochs[int(np.nanargmax(mean))])
        auc.axvline(best, color=INK, linewidth=0.8, linestyle=":", label=f"best: epoch {best}")
    for axes in (loss, auc):
        axes.set_xticks(epochs.tolist() if len(history) <= 20 else epochs[:: len(history) // 10].tolist())
    auc.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png_bytes(figure)
