"""The words that sources use for the two labels."""

from __future__ import annotations

from typing import Literal

Label = Literal["real", "fake"]

_WORDS: dict[str, Label] = {
    "real": "real",
    "original": "real",
    "originals": "real",
    "genuine": "real",
    "pristine": "real",
    "authentic": "real",
    "fake": "fake",
    "fakes": "fake",
    "deepfake": "fake",
    "deepfakes": "fake",
    "manipulated": "fake",
    "altered": "fake",
    "synthesis": "fake",
}


def read_label(word: str | None) -> Label | None:
    """Return `real` or `fake` for a source's word, or None where it says neither.

    Numbers are not read: datasets disagree on whether 1 is the real or the fake.
    """
    return _WORDS.get(word.strip().lower()) if isinstance(word, str) else None
