"""Pictures of scores, as PNG bytes: ROC, DET, reliability, histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from deepfakestream.canvas import FAINT, FAKE_COLOUR, INK, REAL_COLOUR, new_axes, png_bytes, say
from deepfakestream.evaluation.curves import mass_bins, roc_curve
from deepfakestream.evaluation.estimate import Estimate

DET_TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
DET_RANGE = (0.004, 0.96)


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
    """Return the ROC curve, with the rates of 1 % and 5 % marked."""
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
    """Return the reliability diagram: p_fake against the share of fakes, by bins of equal mass."""
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
    """Return the histogram of scores by class, with the threshold."""
    figure, axes = new_axes("Scores", "p_fake", "files")
    edges = np.linspace(0.0, 1.0, 26)
    for label, chosen, colour in (("real", ~is_fake, REAL_COLOUR), ("fake", is_fake, FAKE_COLOUR)):
        text = f"{label} ({int(chosen.sum())})"
        axes.hist(p_fake[chosen], bins=edges.tolist(), color=colour, alpha=0.6, label=text)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.legend(loc="upper center", facecolor="white", edgecolor="none", framealpha=0.85, fontsize=9)
    axes.set_xlim(0, 1)
    return png_bytes(figure)
