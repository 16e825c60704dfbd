from __future__ import annotations

import pytest

from deepfakestream.data.splits import GroupSplits, SplitDraw, assign_split
from deepfakestream.errors import DataError

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


@pytest.mark.parametrize(
    ("fractions", "only"),
    [
        ({"train": 1.0, "val": 0.0, "test": 0.0}, "train"),
        ({"train": 0.0, "val": 1.0, "test": 0.0}, "val"),
        ({"train": 0.0, "val": 0.0, "test": 1.0}, "test"),
    ],
)
def test_a_split_of_share_one_gets_every_group(fractions: dict[str, float], only: str) -> None:
    assert {assign_split(f"set:{i}", fractions, "v1") for i in range(200)} == {only}


def test_a_split_of_share_zero_gets_nothing() -> None:
    fractions = {"train": 0.9, "val": 0.1, "test": 0.0}
    assert "test" not in {assign_split(f"set:{i}", fractions, "v1") for i in range(5000)}


def test_shares_are_kept() -> None:
    drawn = [assign_split(f"set:{i}", FRACTIONS, "v1") for i in range(20_000)]
    for split, share in FRACTIONS.items():
        assert drawn.count(split) / len(drawn) == pytest.approx(share, abs=0.01)


def test_golden_assignments_never_change() -> None:
    # Another value here would move items between the splits of every existing set.
    drawn = [assign_split(f"set:{i}", FRACTIONS, "v1") for i in range(14)]
    assert [i for i, split in enumerate(drawn) if split == "val"] == [5, 12]
    assert [i for i, split in enumerate(drawn) if split == "test"] == [6]


def test_another_salt_draws_another_split() -> None:
    groups = [f"set:{i}" for i in range(100)]
    first, second = ([assign_split(group, FRACTIONS, salt) for group in groups] for salt in ("v1", "v2"))
    assert first != second


@pytest.mark.parametrize(
    ("fractions", "share_of_val"),
    [
        (FRACTIONS, 0.15 / 0.85),
        ({"train": 0.0, "val": 1.0, "test": 0.0}, 1.0),
        ({"train": 0.0, "val": 0.0, "test": 1.0}, 0.0),
    ],
)
def test_a_source_with_a_test_split_gets_train_and_val_only(
    fractions: dict[str, float], share_of_val: float
) -> None:
    draw = SplitDraw(fractions, "v1")
    drawn = [draw.of(f"set:{i}", without_test=True) for i in range(5000)]
    assert drawn.count("val") / len(drawn) == pytest.approx(share_of_val, abs=0.02)
    assert "test" not in drawn


def test_a_draw_is_the_assignment() -> None:
    draw = SplitDraw(FRACTIONS, "v1")
    assert all(draw.of(f"set:{i}") == assign_split(f"set:{i}", FRACTIONS, "v1") for i in range(50))


def test_a_group_half_outside_of_the_test_split_is_drawn_as_one() -> None:
    splits = GroupSplits({}, SplitDraw({"train": 0.0, "val": 0.1, "test": 0.9}, "v1"))
    for number in range(50):
        splits.declare(f"set:{number}", "trainval", name="a")
        splits.declare(f"set:{number}", None, name="b")
    assert {splits.of(f"set:{number}") for number in range(50)} == {"val"}


def test_a_held_or_declared_split_stands_before_the_draw() -> None:
    splits = GroupSplits({"set:held": "test"}, SplitDraw(FRACTIONS, "v1"))
    splits.declare("set:held", "trainval", name="a")
    splits.declare("set:new", "Validation", name="b")
    splits.declare("set:new", "valid", name="c")
    assert (splits.of("set:held"), splits.of("set:new")) == ("test", "val")


def test_what_rounding_leaves_over_goes_to_the_largest_split() -> None:
    """Shares whose sum falls short of 1, as sums of floating-point numbers do."""
    fractions = {"train": 0.3, "val": 0.4, "test": 0.0}
    drawn = [assign_split(f"set:{i}", fractions, "v1") for i in range(2000)]
    assert drawn.count("val") / len(drawn) == pytest.approx(0.7, abs=0.03)
    assert "test" not in drawn


@pytest.mark.parametrize(("held", "words"), [({"set:a": "test"}, ["train"]), ({}, ["test", "train"])])
def test_a_contradiction_names_the_split_that_stands(held: dict[str, str], words: list[str]) -> None:
    splits = GroupSplits(held, SplitDraw(FRACTIONS, "v1"))
    *agreed, other = words
    for word in agreed:
        splits.declare("set:a", word, name="row 1")
    with pytest.raises(DataError) as caught:
        splits.declare("set:a", other, name="row 2")
    message = str(caught.value)
    assert message.startswith("row 2: ")
    assert "'test'" in message
    assert ("new workspace" in message) == bool(held)
