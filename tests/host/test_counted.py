from __future__ import annotations

import pytest

from deepfakestream.host.counted import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "item", "0 items"),
        (1, "item", "1 item"),
        (5, "crop", "5 crops"),
        (2, "entry", "2 entries"),
    ],
)
def test_a_noun_follows_its_number(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text
