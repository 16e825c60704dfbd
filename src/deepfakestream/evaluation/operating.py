"""What the spec's operating points do on these files: rates with intervals that small n cannot fool."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from pydantic import BaseModel, ConfigDict

from deepfakestream.evaluation.metrics import Estimate
from deepfakestream.model.spec import OperatingPoint

Z_95 = 1.959964


class MeasuredPoint(BaseModel):
    """One operating point and its rates; a rate is None where there is no file of that class."""

    model_config = ConfigDict(frozen=True)

    name: str
    threshold: float
    inconclusive_from: float
    fpr: Estimate
    """Share of reals called fake."""
    tpr: Estimate
    """Share of fakes called fake."""
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


def share(count: int, n: int) -> Estimate:
    """Return a share with its Wilson 95 % interval (Wilson 1927), which stays honest at 0 of n and n of n."""
    if n == 0:
        return Estimate(value=None)
    rate, z2 = count / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(value=rate, low=max(0.0, centre - half), high=min(1.0, centre + half))


def _share_between(p_fake: pd.Series[float], low: float, high: float) -> float | None:
    return float(((p_fake >= low) & (p_fake < high)).mean()) if len(p_fake) else None
