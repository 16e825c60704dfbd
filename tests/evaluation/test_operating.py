from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.evaluation.estimate import share
from deepfakestream.evaluation.metrics import measure_points
from deepfakestream.model.spec import OperatingPoint

POINT = OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="val")


@pytest.mark.parametrize(
    ("count", "n", "expected"),
    [
        (0, 0, (None, None, None)),
        (0, 10, (0.0, 0.0, 0.2775)),  # Wilson: no alarm in ten is no proof of none
        (10, 10, (1.0, 0.7225, 1.0)),
        (5, 10, (0.5, 0.2366, 0.7634)),
    ],
)
def test_share(count: int, n: int, expected: tuple[float | None, ...]) -> None:
    found = share(count, n)
    for value, wanted in zip((found.value, found.low, found.high), expected, strict=True):
        assert value is None if wanted is None else value == pytest.approx(wanted, abs=1e-4)


def test_no_files() -> None:
    empty = pd.DataFrame({"label": [], "p_fake": []})
    (found,) = measure_points(empty, {"balanced": POINT})
    assert (found.fpr.value, found.tpr.value, found.share_inconclusive) == (None, None, None)


def test_both_bounds_belong_to_the_upper_verdict() -> None:
    scores = pd.DataFrame(
        {"label": ["real", "real", "fake", "fake", "fake"], "p_fake": [0.6, 0.399, 0.4, 0.599, np.nan]}
    )
    (found,) = measure_points(scores, {"balanced": POINT})
    assert found.name == "balanced"
    assert (found.fpr.value, found.tpr.value, found.share_inconclusive) == (0.5, 0.0, 0.5)
