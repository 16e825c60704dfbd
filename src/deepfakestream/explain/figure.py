"""One picture a face: the crop, the maps over it, the noise residual, and what the tests of the maps say."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from deepfakestream.explain.attribution import Map
from deepfakestream.explain.face import FaceExplanation, FaceMap
from deepfakestream.explain.face_region import enlarged
from deepfakestream.media.types import RGBImage
from deepfakestream.model.noise import KERNEL_NAMES, TRUNCATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_IN = 3.0
MAX_COLUMNS = 6
_HEAD_IN = 0.8
_OPACITY = 0.55
_WARNING_COLOUR = "#a11212"


def draw(explanation: FaceExplanation, path: Path, *, headline: str) -> None:
    """Write the picture of a face as a PNG.

    Args:
        explanation: what to show.
        path: the file to write.
        headline: which face this is and the verdict on it.
    """
    from deepfakestream.canvas import new_figure, png_bytes

    top = len(explanation.maps) + 1
    columns = min(max(top, 3), MAX_COLUMNS)
    map_rows = -(-top // columns)
    rows = map_rows + (explanation.residual is not None)
    warnings = [fill(warning, 45 * columns) for each in explanation.maps for warning in each.warnings]
    notes_in = 0.42 + 0.17 * sum(warning.count("\n") + 1 for warning in warnings)
    height_in = rows * (PANEL_IN + 0.75) + _HEAD_IN + notes_in
    figure = new_figure(width=columns * PANEL_IN + 0.6, height=height_in)
    # Margins for headline and warnings, which the layout does not know of.
    layout: Any = figure.get_layout_engine()
    layout.set(
        rect=(0, notes_in / height_in, 1, 1 - (_HEAD_IN + notes_in) / height_in), hspace=0.06, h_pad=0.16
    )
    axes: Any = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.axis("off")
    _crop_panel(axes.flat[0], explanation)
    for axis, face_map in zip(axes.flat[1:], explanation.maps, strict=False):
        _map_panel(figure, axis, face_map)
    _residual_panels(figure, axes[-1], explanation)
    wrapped = "\n".join(fill(line, 33 * columns) for line in headline.splitlines())
    figure.suptitle(wrapped, fontsize=10, y=1 - 0.12 / height_in, va="top")
    _notes(figure, warnings, height_in)
    path.write_bytes(png_bytes(figure))


def overlay(rgb: RGBImage, cells: Map) -> RGBImage:
    """Return the crop in grey under a map: red where it speaks for a fake, blue where for a real face.

    The colours are scaled to the map itself (see `colour_limit`): they tell where, and never how much.

    Args:
        rgb: picture `(height, width, 3)`, RGB, 0-255.
        cells: map `(rows, columns)`, above 0 where it speaks for a fake.
    """
    from matplotlib import colormaps

    values = enlarged(cells, rgb.shape[0])
    scaled = np.clip(values / colour_limit(cells), -1.0, 1.0)
    colours = colormaps["RdBu_r"](0.5 + scaled / 2)[..., :3] * 255
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float64)
    opacity = _OPACITY * np.abs(scaled)[..., None] ** 0.5
    return np.asarray(np.clip((1 - opacity) * grey + opacity * colours, 0, 255), dtype=np.uint8)


def colour_limit(cells: Map) -> float:
    """Return the value that gets the full colour: the 99th percentile, so that no cell pales the rest."""
    return max(float(np.quantile(np.abs(cells), 0.99)), 1e-9)


def _crop_panel(axis: Any, explanation: FaceExplanation) -> None:
    axis.imshow(explanation.face.rgb)
    axis.contour(explanation.region, levels=[0.5], colors="white", linewidths=0.8)
    parts = ", ".join(f"{name} {value:+.2f}" for name, value in explanation.stream_logits.items())
    axis.set_title(
        f"The face as the network sees it\np_fake {explanation.p_fake:.3f}, logit {explanation.logit:+.2f}\n"
        f"= {parts}",
        fontsize=8,
    )


def _map_panel(figure: Figure, axis: Any, face_map: FaceMap) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axis.imshow(overlay(face_map.rgb, face_map.cells))
    axis.set_title(map_title(face_map), fontsize=8, color=_WARNING_COLOUR if face_map.warnings else "black")
    scale = ScalarMappable(Normalize(-1, 1), cmap="RdBu_r")
    bar = figure.colorbar(scale, ax=axis, location="bottom", shrink=0.8, pad=0.01, ticks=[-1, 0, 1])
    bar.ax.set_xticklabels(scale_labels(face_map), fontsize=7)


def map_title(face_map: FaceMap) -> str:
    """Return what stands over a map: what it is, how it did in its tests, how much of it lies on the face."""
    inside = face_map.energy_inside_face
    what = "fake evidence" if face_map.has_sign else "the attention"
    on_face = "no evidence for a fake" if inside is None else f"{inside:.0%} of {what} on the face"
    stable = "flat" if face_map.jpeg_stability is None else f"{face_map.jpeg_stability:.2f}"
    test = face_map.faithfulness.describe()
    return f"{face_map.method}, stream '{face_map.stream}'\n{test}\n{on_face}; JPEG {stable}"


def scale_labels(face_map: FaceMap) -> list[str]:
    """Return what stands at the left end, the middle and the right end of a map's scale of colours."""
    limit = colour_limit(face_map.cells)
    if not face_map.has_sign:
        return ["", "0", f"weight ≥ {limit:.2g}"]
    return [f"real ≤ {-limit:.2g}", "0", f"fake ≥ {limit:.2g}"]


def _residual_panels(figure: Figure, axes: Any, explanation: FaceExplanation) -> None:
    if explanation.residual is None:
        return
    for axis, name, plane in zip(axes, KERNEL_NAMES, explanation.residual, strict=False):
        shown = axis.imshow(plane, cmap="gray", vmin=-TRUNCATION, vmax=TRUNCATION, interpolation="nearest")
        axis.set_title(
            f"Noise residual, kernel {name}\n{np.abs(plane).mean():.2f} grey levels on average", fontsize=8
        )
        bar = figure.colorbar(
            shown, ax=axis, location="bottom", shrink=0.8, pad=0.01, ticks=[-TRUNCATION, 0, TRUNCATION]
        )
        bar.ax.set_xticklabels([f"≤ -{TRUNCATION:g}", "as predicted", f"≥ {TRUNCATION:g}"], fontsize=7)


def _notes(figure: Figure, warnings: list[str], height_in: float) -> None:
    text = "Colours are scaled to each map: they tell where, not how much. White outline: the face."
    figure.text(
        0.01,
        0.06 / height_in,
        "\n".join([*warnings, text]),
        fontsize=7.5,
        color=_WARNING_COLOUR if warnings else "black",
        va="bottom",
    )
