"""Canvas, colours and style that all plots share.

Drawn on canvases of their own (no pyplot, no global state), so that they may be made in any thread.
"""

from __future__ import annotations

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

REAL_COLOUR = "#2a6f97"
FAKE_COLOUR = "#d1495b"
INK = "#22313f"
FAINT = "#c9d1d8"
SOFT = "#7b8794"
DPI = 120


def new_figure(*, width: float = 5.4, height: float = 4.0) -> Figure:
    """Return an empty figure; sizes in inches.

    Args:
        width: in inches.
        height: in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(
    title: str, x_label: str, y_label: str, *, width: float = 5.4, height: float = 4.0
) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes in our style.

    Args:
        title: above the axes.
        x_label: below the axes.
        y_label: left of the axes.
        width: in inches.
        height: in inches.
    """
    figure = new_figure(width=width, height=height)
    axes = figure.add_subplot()
    dress(axes, title, x_label, y_label)
    return figure, axes


def dress(axes: Axes, title: str, x_label: str, y_label: str, *, title_size: float = 12) -> None:
    """Give axes our style, a title and labels.

    Args:
        axes: to draw on.
        title: above the axes.
        x_label: below the axes.
        y_label: left of the axes.
        title_size: in points.
    """
    axes.set_title(title, loc="left", fontsize=title_size, fontweight="bold", color=INK)
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)


def say(axes: Axes, text: str) -> None:
    """Write in the middle of axes why there is nothing to see.

    Args:
        axes: to draw on.
        text: one sentence.
    """
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=SOFT)


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    stream = BytesIO()
    # Without the version of matplotlib in it, the same scores give the same bytes.
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()
