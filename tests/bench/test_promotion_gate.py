"""How often the promotion gate promotes a challenger, by how much better it is: on simulated test sets."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from deepfakestream.promotion.gate import Outcome, decide
from deepfakestream.promotion.params import PromoteParams

AUC = 0.90
CORRELATION = 0.8
"""Of the two models' scores of files of one class."""
GROUP_SIZE = 2
POLICY = PromoteParams()


def logits(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return noise of unit variance, half of which the files of a source group share."""
    shared = np.repeat(rng.normal(size=n // GROUP_SIZE), GROUP_SIZE)
    return np.sqrt(0.5) * (shared + rng.normal(size=n))


def draw_scores(rng: np.random.Generator, n: int, gain: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores of a challenger whose true AUC is better by `gain`, and of the champion."""
    is_fake = np.arange(n) % 2 == 1
    common = logits(rng, n)
    tables = []
    for auc in (AUC + gain, AUC):
        shift = np.sqrt(2) * norm.ppf(auc)
        noise = np.sqrt(CORRELATION) * common + np.sqrt(1 - CORRELATION) * logits(rng, n)
        calibrated = shift * (noise + shift * is_fake - shift / 2)
        tables.append(
            pd.DataFrame(
                {
                    "media_id": [f"m{index}" for index in range(n)],
                    "label": np.where(is_fake, "fake", "real"),
                    "manipulation": np.where(is_fake, "swap", "none"),
                    "group_id": np.repeat(np.arange(n // GROUP_SIZE), GROUP_SIZE).astype(str),
                    "p_fake": 1 / (1 + np.exp(-calibrated)),
                }
            )
        )
    return tables[0], tables[1]


def promoted(n: int, gain: float, *, draws: int, new_items: int = 0) -> float:
    """Return the share of test sets on which the challenger becomes champion."""
    rng = np.random.default_rng([n, draws, new_items])
    outcomes = []
    for _ in range(draws):
        challenger, champion = draw_scores(rng, n, gain)
        decision = decide(
            challenger=challenger, champion=champion, policy=POLICY, new_items=new_items, seed=0
        )
        outcomes.append(decision.outcome == Outcome.PROMOTE)
    rate = float(np.mean(outcomes))
    kind = "new items" if new_items else "the same items"
    sys.stdout.write(f"{n} files, {kind}, better by {gain:+.2f}: promoted in {rate:.1%} of {draws}\n")
    return rate


@pytest.mark.bench
@pytest.mark.parametrize(("n", "draws"), [(40, 200), (600, 200), (2000, 100)])
def test_an_equal_challenger_is_seldom_promoted(n: int, draws: int) -> None:
    assert promoted(n, 0.0, draws=draws) <= 0.05


@pytest.mark.bench
def test_a_better_challenger_is_mostly_promoted() -> None:
    assert promoted(2000, 0.02, draws=40) >= 0.8


@pytest.mark.bench
def test_a_challenger_of_new_items_may_be_equal_but_not_worse() -> None:
    assert promoted(2000, 0.0, draws=30, new_items=POLICY.min_new_items) >= 0.3
    assert promoted(2000, -0.02, draws=30, new_items=POLICY.min_new_items) <= 0.05
