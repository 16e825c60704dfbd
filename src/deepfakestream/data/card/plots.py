"""Plots of a dataset, as PNG bytes: methods by split, durations, face sizes, sharpness and brightness.

Real and fake items are drawn apart: where their shapes differ, a model may learn that difference instead of
the traces of forgery.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from deepfakestream.canvas import FAKE_COLOUR, INK, REAL_COLOUR, SOFT, dress, new_figure, png_bytes
from deepfakestream.data.card.statistics import Extracted, with_measures
from deepfakestream.data.splits import SPLITS

LABEL_COLOURS = {"real": REAL_COLOUR, "fake": FAKE_COLOUR}
SPLIT_COLOURS = {"train": "#35607f", "val": "#e0a458", "test": "#7f9c6b"}
MAX_METHODS = 40
_NUM_BINS = 32


def draw_set(manifest: pd.DataFrame, extracted: Extracted | None = None) -> dict[str, bytes]:
    """Return PNG bytes by name: `methods`, `media` and, after extraction, `faces` and `light`.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
        extracted: what extraction found, where it has run; items that it has not seen are in the first two
            pictures only.
    """
    pictures = {"methods": draw_methods(manifest), "media": draw_media(manifest)}
    if extracted is not None:
        crops = extracted.crops_of(manifest)
        pictures |= {"faces": draw_faces(extracted.seen_of(manifest), crops), "light": draw_light(crops)}
    return pictures


def draw_methods(manifest: pd.DataFrame) -> bytes:
    """Return the items of each method as bars, split by split; reals first, rare methods together.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
    """
    counts = _method_counts(manifest)
    figure, (axes,) = _panels(["Items by method and split"], size=(7.6, 1.5 + 0.27 * len(counts)))
    positions = np.arange(len(counts))[::-1]
    left = np.zeros(len(counts))
    for split in SPLITS:
        numbers = counts[split].to_numpy(dtype=float)
        axes.barh(positions, numbers, left=left, color=SPLIT_COLOURS[split], label=split, height=0.72)
        left += numbers
    for position, total in zip(positions, left, strict=True):
        axes.text(total + left.max() * 0.01, position, f"{total:,.0f}", va="center", fontsize=8, color=INK)
    axes.set_yticks(positions.tolist(), list(counts.index), fontsize=8.5)
    for text in axes.get_yticklabels():
        text.set_color(LABEL_COLOURS[text.get_text().split(" ")[0]])
    axes.set_xlim(0, max(left.max() * 1.12, 1))
    axes.set_ylim(-0.7, len(counts) - 0.3)
    axes.set_xlabel("items", color=INK)
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    return png_bytes(figure)


def draw_media(manifest: pd.DataFrame) -> bytes:
    """Return the spread of durations, sizes of files and sizes of pictures.

    Args:
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
    """
    items = with_measures(manifest)
    items["size_kb"] = items["size_bytes"] / 1000
    figure, axes = _panels(["Durations", "File sizes", "Pictures"], size=(11.4, 3.3))
    _histogram(axes[0], items, "duration_s", "duration, s", logarithmic=True, what="video")
    _histogram(axes[1], items, "size_kb", "size, kB", logarithmic=True)
    _histogram(axes[2], items, "short_px", "shorter side, px", logarithmic=True)
    return png_bytes(figure)


def draw_faces(manifest: pd.DataFrame, crops: pd.DataFrame) -> bytes:
    """Return the spread of face sizes, and how many crops the items gave.

    Args:
        manifest: columns of `MANIFEST_COLUMNS`.
        crops: columns of `CROP_COLUMNS`.
    """
    numbers = crops["media_id"].value_counts().reindex(manifest["media_id"], fill_value=0)
    per_item = pd.DataFrame({"label": manifest["label"].to_numpy(), "crops": numbers.to_numpy()})
    figure, axes = _panels(["Face sizes", "Crops an item (0: no face found)"], size=(8.2, 3.3))
    _histogram(axes[0], crops, "face_px", "shorter side of the face, px", logarithmic=True, what="crop")
    _histogram(axes[1], per_item, "crops", "crops")
    axes[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return png_bytes(figure)


def draw_light(crops: pd.DataFrame) -> bytes:
    """Return the spread of sharpness and of brightness of the crops.

    Args:
        crops: one row a crop, columns as in `columns.CROP_COLUMNS`.
    """
    figure, axes = _panels(["Sharpness", "Luma"], size=(8.2, 3.3))
    positive = crops[crops["sharpness"] > 0]
    _histogram(axes[0], positive, "sharpness", "variance of the Laplacian", logarithmic=True, what="crop")
    _histogram(axes[1], crops, "luma", "mean luma, 0-255", what="crop")
    axes[1].set_xlim(0, 255)
    return png_bytes(figure)


def _method_counts(manifest: pd.DataFrame) -> pd.DataFrame:
    method = manifest["manipulation"].where(manifest["label"] == "fake", manifest["source"])
    table = pd.crosstab(manifest["label"] + "  " + method, manifest["split"]).reindex(
        columns=list(SPLITS), fill_value=0
    )
    totals = table.sum(axis=1)
    is_real = table.index.str.startswith("real")
    order = sorted(range(len(table)), key=lambda row: (not is_real[row], -totals.iloc[row], table.index[row]))
    ordered = table.iloc[order]
    if len(ordered) <= MAX_METHODS:
        return ordered
    shown, rest = ordered.iloc[: MAX_METHODS - 1], ordered.iloc[MAX_METHODS - 1 :]
    label = rest.index[0].split(" ")[0]
    return pd.concat([shown, rest.sum().to_frame(f"{label}  … {len(rest)} others").T])


def _histogram(
    axes: Axes,
    table: pd.DataFrame,
    column: str,
    x_label: str,
    *,
    logarithmic: bool = False,
    what: str = "item",
) -> None:
    """Draw a histogram of each label, as share of the label's own number, so that both can be compared."""
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(f"share of the label's {what}s", color=INK)
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:.3g}%" if value <= 1 else "")
    )
    known = table[table[column].notna()]
    values = known[column].to_numpy(dtype=np.float64)
    if len(values) == 0:
        axes.text(0.5, 0.5, f"no {what}s", ha="center", transform=axes.transAxes, color=SOFT)
        return
    edges = _edges(values, logarithmic=logarithmic)
    for label, colour in LABEL_COLOURS.items():
        chosen = known.loc[known["label"] == label, column].to_numpy(dtype=np.float64)
        if len(chosen):
            weights = np.full(len(chosen), 1.0 / len(chosen))
            axes.hist(
                chosen,
                bins=edges.tolist(),
                weights=weights,
                histtype="stepfilled",
                color=(colour, 0.28),
                edgecolor=colour,
                linewidth=1.4,
                label=f"{label} ({len(chosen):,})",
            )
    if logarithmic:
        _label_decades(axes, edges)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.22)
    axes.legend(loc="upper right", ncols=2, fontsize=8.5, frameon=False)


def _edges(values: NDArray[np.float64], *, logarithmic: bool) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        low, high = low / 1.05, high * 1.05
        if high < 2 * low:  # one value, or nearly: show it in the middle of some room
            low, high = low / 1.4, high * 1.4
        return np.geomspace(low, high, _NUM_BINS + 1)
    if np.all(values == values.round()) and high - low < _NUM_BINS:
        return np.arange(low - 0.5, high + 1.0)
    return np.linspace(low, high if high > low else low + 1.0, _NUM_BINS + 1)


def _label_decades(axes: Axes, edges: NDArray[np.float64]) -> None:
    """Make the axis logarithmic, with plain numbers at so many steps of each decade as there is room for."""
    axes.set_xscale("log")
    span = edges[-1] / edges[0]
    steps = (1, 1.5, 2, 3, 4, 6, 8) if span < 10 else (1, 2, 5) if span < 100 else (1,)
    decades = range(int(np.floor(np.log10(edges[0]))), int(np.ceil(np.log10(edges[-1]))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    shown = [tick for tick in ticks if edges[0] <= tick <= edges[-1]]
    axes.set_xticks(shown, [f"{tick:,.10g}" for tick in shown])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(edges[0], edges[-1])


def _panels(titles: Sequence[str], *, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure = new_figure(width=size[0], height=size[1])
    panels = []
    for number, title in enumerate(titles, 1):
        axes = figure.add_subplot(1, len(titles), number)
        dress(axes, title, "", "")
        axes.tick_params(labelsize=9)
        panels.append(axes)
    return figure, panels
