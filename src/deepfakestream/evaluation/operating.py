"""What the spec's operating points do on these files: rates with intervals that small n cannot fool."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from deepfakestream.evaluation.estimate import Estimate, share
from deepfakestream.frozen import Frozen
from deepfakestream.model.spec import OperatingPoint


class MeasuredPoint(Frozen):
    """One operating point and its rates; a rate is None where there is no file of that class."""

    name: str
    threshold: float
    inconclusive_from: float
    fpr: Estimate
    """False positive rate: share of reals called fake."""
    tpr: Estimate
    """True positive rate: share of fakes called fake."""
    share_inconclusive: float | None
    """Share of all scored files between `inconclusive_from` and the threshold."""


def measure_points(scores: pd.DataFrame, points: Mapping[str, OperatingPoint]) -> tuple[MeasuredPoint, ...]:
    """Return the rates of each operating point on the files that have a score (columns as for `measure`)."""
    scored = scores[scores["p_fake"].notna()]
    reals, fakes = (scored.loc[scored["label"] == label, "p_fake"] for label in ("real", "fake"))
    return tuple(
        MeasuredPoint(
            name=name,
            threshold=point.threshold,
            inconclusive_from=point.inconclusive_from,
            fpr=share(int((reals >= point.threshold).sum()), len(reals)),
            tpr=share(int((fakes >= point.threshold).sum()), len(fakes)),
            share_inconclusive=_share_between(scored["p_fake"], point.inconclusive_from, point.threshold),
        )
        for name, point in points.items()
    )


def _share_between(p_fake: pd.Series[float], low: float, high: float) -> float | None:
    return float(((p_fake >= low) & (p_fake < high)).mean()) if len(p_fake) else None
