"""The picture of AUCs by slice, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from deepfakestream.canvas import FAKE_COLOUR, REAL_COLOUR, SOFT, new_axes, png_bytes, say
from deepfakestream.evaluation.estimate import Estimate
from deepfakestream.evaluation.slices import Slice


def draw_slices(slices: Sequence[Slice], *, auc: Estimate) -> bytes:
    """Return the AUC of each slice with its interval; slices with too few files are named, not measured."""
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
    axes.set_xlim(min(0.5, _lowest(slices)), 1.01)
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


def _lowest(slices: Sequence[Slice]) -> float:
    values = [each.auc.low if each.auc.low is not None else each.auc.value for each in slices]
    return min((value - 0.02 for value in values if value is not None), default=0.5)
