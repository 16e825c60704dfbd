"""A picture of the registered versions: test AUC and calibration error of each, and which were champion."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deepfakestream.canvas import FAKE_COLOUR, INK, SOFT, dress, new_figure, png_bytes, say


def draw_history(
    metrics: Mapping[int, Mapping[str, float]], *, champions: Collection[int], champion: int
) -> bytes:
    """Return a PNG: AUC with its 95 % interval above, calibration error below, one column a version.

    Args:
        metrics: version to its metrics `test_auc`, `test_auc_low`, `test_auc_high` and `test_ece`; what a
            version lacks is left out.
        champions: versions that were champion at some time.
        champion: the champion now.
    """
    figure = new_figure(width=7.0, height=5.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, name, label in (
        (upper, "test_auc", "test AUC"),
        (lower, "test_ece", "calibration error (ECE)"),
    ):
        dress(axes, "Versions over time" if axes is upper else "", "version" if axes is lower else "", label)
        measured = {version: found for version, found in sorted(metrics.items()) if name in found}
        if not measured:
            say(axes, "no version was measured")
        for version, found in measured.items():
            colour = FAKE_COLOUR if version == champion else INK if version in champions else SOFT
            filled = colour if version in champions or version == champion else "white"
            bounds = [found.get(f"{name}_low", found[name]), found.get(f"{name}_high", found[name])]
            axes.plot([version, version], bounds, color=colour, linewidth=1.5)
            axes.plot(version, found[name], marker="o", markersize=7, color=colour, markerfacecolor=filled)
        axes.set_xticks(list(measured))
    upper.text(
        0.01,
        0.03,
        "red: champion now; filled: was champion; hollow: never",
        transform=upper.transAxes,
        fontsize=8,
    )
    return png_bytes(figure)
