"""Pictures of how things go, as PNG bytes: errors along each perturbation, and the course of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from deepfakestream.canvas import FAKE_COLOUR, INK, REAL_COLOUR, dress, new_figure, png_bytes, say
from deepfakestream.evaluation.robustness import Condition, RobustnessCard

COLUMNS = 4
KIND_COLOURS = ("#2a6f97", "#d1495b", "#3a7d44", "#8d5a97", "#c98a1b", "#4d6a6d", "#a23e48")


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
