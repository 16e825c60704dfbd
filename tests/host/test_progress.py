"""The lines of progress in pipes and logs."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from deepfakestream.host import progress
from deepfakestream.host.progress import progress_bar


class SlowTime:
    """Stands in for a clock: each look at it is `step_s` later."""

    def __init__(self, step_s: float) -> None:
        self._moments = self._count(step_s)

    @staticmethod
    def _count(step_s: float) -> Iterator[float]:
        moment = 0.0
        while True:
            yield moment
            moment += step_s

    def monotonic(self) -> float:
        return next(self._moments)


@pytest.mark.parametrize(
    ("step_s", "pace"),
    [(0.01, "100.0 batch/s"), (1.0, "1.0 batch/s"), (120.0, "120.0 s/batch")],
)
def test_a_slow_pace_is_given_in_seconds_an_item(
    step_s: float, pace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(progress, "time", SlowTime(step_s))
    monkeypatch.setattr(progress, "LOG_EVERY_S", step_s)
    assert list(progress_bar([7, 8], description="epoch 1", unit="batch")) == [7, 8]
    assert written.getvalue().startswith(f"epoch 1: 1, {pace}, ")
