"""Sentences of the reference documents are short enough to be understood at first reading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_WORDS = 35
"""Of a sentence. Writers aim at 25; the rule leaves room for a list within a sentence."""
REFERENCE = sorted(
    path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")] if path.name not in {"log.md"}
)
"""The log is a record of experiments, in notes; decisions are kept as they were written."""
HOUSE_WORDS = re.compile(r"\b(?:told|anew|beside|whoever|worn|knock|reals)\b", re.IGNORECASE)
"""Words that these documents used in place of plain ones."""
NO_PROSE = re.compile(r"(?s:```.*?```|<!--.*?-->)|^#.*$|^[ >]*\|.*$|^!\[.*$", re.MULTILINE)
LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+", re.MULTILINE)
CODE = re.compile(r"`+[^`\n]+`+")
CODE_LIST = re.compile(r"CODE(?:(?:, and|, or|,| and| or| to) CODE)+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
END = re.compile(r"[.!?:][)\"'*]*\s+(?=[A-Z`*(\"\[0-9-])|[.!?:][)\"'*]*$")


def sentences(text: str) -> list[str]:
    """Return the sentences of a Markdown document, without tables, code blocks, headings and comments.

    Inline code counts as one word, and so does a list of inline code such as `a`, `b` and `c`.
    A colon that a capital or code follows ends a sentence, as a full stop does.
    """
    prose = CODE.sub("CODE", NO_PROSE.sub("\n\n", text))
    prose = LIST_ITEM.sub("\n\n", LINK.sub(r"\1", prose))
    prose = re.sub(r"\b(e\.g|i\.e|vs|approx|etc)\.", r"\1", prose)
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", prose))
    return [
        sentence.strip()
        for paragraph in paragraphs
        for sentence in END.split(CODE_LIST.sub("CODE", paragraph))
        if sentence.strip()
    ]


def num_words(sentence: str) -> int:
    """Return how many words a sentence has; signs and numbers alone count as words, dashes do not."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sentences_of_a_reference_document_are_short(path: Path) -> None:
    found = sentences(path.read_text(encoding="utf-8"))
    assert found
    assert [sentence for sentence in found if num_words(sentence) > MAX_WORDS] == []


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_reference_documents_use_plain_words(path: Path) -> None:
    found = sentences(path.read_text(encoding="utf-8"))
    assert [sentence for sentence in found if HOUSE_WORDS.search(sentence)] == []


def test_a_long_sentence_is_found_wherever_it_stands() -> None:
    long = "word " * MAX_WORDS + "end."
    for text in (f"Short. {long} Short.", f"- item\n- {long}", f"Broken\nby {long}", f"> quote {long}"):
        assert max(map(num_words, sentences(text))) > MAX_WORDS


@pytest.mark.parametrize(
    "text",
    [
        "```\n{long}\n```",
        "| {long} |",
        "# {long}",
        "<!-- {long} -->",
        "`{long}` is a line.",
        "{codes} are names.",
    ],
)
def test_what_is_no_prose_does_not_count(text: str) -> None:
    filled = text.replace("{long}", "word " * 40).replace("{codes}", "`name`, " * 40 + "`name`")
    assert all(num_words(sentence) <= MAX_WORDS for sentence in sentences(filled))
