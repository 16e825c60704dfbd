"""The test of embeddings on synthetic ones; on real faces: tests/bench/test_embedding_drift.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepfakestream.monitoring.embedding_drift import MAX_ROWS, EmbeddingDrift, check_embeddings
from deepfakestream.monitoring.groups import MIN_GROUPS

SIZE, ALPHA = 16, 0.01


def files(n: int, *, seed: int, shift: float = 0.0, size: int = SIZE) -> pd.DataFrame:
    """Rows of the log and of a reference alike: each a file of its own source, without keys."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "embedding": [row.astype(np.float16) for row in rng.normal(shift, 1.0, (n, size))],
            "media_sha256": [f"{seed}-{row}" for row in range(n)],
            "client": None,
            "group": np.arange(n),
        }
    )


def of_sources(num_sources: int, each: int, *, seed: int) -> pd.DataFrame:
    """Rows that resemble each other within their source."""
    table = files(num_sources * each, seed=seed)
    sources = np.random.default_rng(seed + 1000).normal(0.0, 3.0, (num_sources, SIZE)).repeat(each, axis=0)
    rows = np.stack(table["embedding"].to_list()) + sources
    return table.assign(embedding=list(rows), group=np.arange(num_sources).repeat(each))


def check(current: pd.DataFrame, reference: pd.DataFrame, *, alpha: float = ALPHA) -> EmbeddingDrift:
    return check_embeddings(current, reference, minimum=30, alpha=alpha)


REFERENCE = files(120, seed=1)


def test_another_draw_of_the_same_population_is_not_drift() -> None:
    found = [check(files(80, seed=seed), REFERENCE) for seed in range(10, 20)]
    assert sum(each.drifted for each in found) <= 1
    assert np.mean([each.p_value for each in found]) == pytest.approx(0.5, abs=0.25)
    assert all(each.drifted == (each.p_value <= ALPHA) for each in found)


def test_a_shift_is_drift_with_the_smallest_p_there_is() -> None:
    found = check(files(80, seed=3, shift=0.5), REFERENCE)
    assert found.drifted
    assert found.p_value == pytest.approx(ALPHA / 2)
    assert found.distance > found.threshold > 0
    assert check(files(80, seed=3, shift=0.5), REFERENCE) == found


def test_more_rows_are_sampled() -> None:
    many = files(3 * MAX_ROWS, seed=4)
    found = check(many, many)
    assert not found.drifted
    assert check(files(3 * MAX_ROWS, seed=5, shift=0.3), many).drifted


@pytest.mark.parametrize("owner", ["media_sha256", "client"])
def test_rows_of_one_file_or_client_count_as_one(owner: str) -> None:
    """The same rows as files of their own are drift by their likeness alone."""
    reference = of_sources(60, 3, seed=6)
    alarms = {"apart": 0, "together": 0}
    for seed in range(5):
        window = of_sources(MIN_GROUPS, 5, seed=20 + seed)
        alarms["apart"] += check(window, reference.assign(group=np.arange(len(reference)))).drifted
        names = [f"name {number}" for number in window["group"]]
        alarms["together"] += check(window.assign(**{owner: names}), reference).drifted
    assert alarms["apart"] >= 4
    assert alarms["together"] <= 1


def test_with_few_clients_one_alone_is_no_drift() -> None:
    odd, usual = files(50, seed=7, shift=1.0), files(50, seed=8)
    found = check(pd.concat([odd.assign(client="new"), usual.assign(client="old")]), REFERENCE)
    assert not found.drifted
    assert found.p_value <= ALPHA
    assert "client new" in found.note
    assert check(pd.concat([odd.assign(client="new"), usual.assign(client="new")]), REFERENCE).drifted
    both = pd.concat([odd.assign(client="new"), files(50, seed=9, shift=1.0).assign(client="old")])
    assert check(both, REFERENCE).drifted


@pytest.mark.parametrize(
    ("current", "reference", "alpha", "words"),
    [
        (files(60, seed=2), REFERENCE.drop(columns=["embedding", "group"]), ALPHA, "promote again"),
        (files(60, seed=2).assign(embedding=None), REFERENCE, ALPHA, "window has 0"),
        (files(60, seed=2), REFERENCE.assign(embedding=None), ALPHA, "reference has 0"),
        (files(60, seed=2, size=8), REFERENCE, ALPHA, "different sizes"),
        (files(60, seed=2), REFERENCE.assign(group=0), ALPHA, "1 independent"),
        (files(60, seed=2).assign(media_sha256="same"), REFERENCE, ALPHA, "1 independent"),
        (files(60, seed=2), REFERENCE, 0.0, "embedding_alpha"),
    ],
    ids=["old reference", "no values", "crops", "other size", "one source", "one file", "off"],
)
def test_what_cannot_be_compared_says_why(current, reference, alpha, words) -> None:
    found = check(current, reference, alpha=alpha)
    assert (found.drifted, found.distance, found.p_value) == (False, None, None)
    assert words in found.sentence()


def test_files_without_a_face_have_no_part_in_it() -> None:
    window = files(60, seed=2)
    blank = files(40, seed=3).assign(embedding=None, media_sha256=None)
    blank.at[0, "embedding"] = np.full(SIZE, np.inf, np.float16)
    with_blanks = pd.concat([blank, window], ignore_index=True)
    assert check(with_blanks, REFERENCE) == check(window, REFERENCE)


def test_equal_rows_are_no_error() -> None:
    """A model whose features are all zero."""
    window = files(60, seed=2)
    zeros = window.assign(embedding=[np.zeros(SIZE, np.float16)] * 60)
    found = check(zeros, zeros)
    assert not found.drifted
