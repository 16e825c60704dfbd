"""Tables as text: plain, with columns as wide as their longest cell, and Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()
) -> list[str]:
    """Return the lines of a table: the headings, then a line a row; None is shown as '-'.

    Args:
        headings: one a column.
        rows: cells, as many as there are headings.
        right: headings of the columns that are aligned to the right, e.g. numbers.
    """
    cells = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headings))]
    lines = []
    for line in cells:
        padded = [
            text.rjust(width) if heading in right else text.ljust(width)
            for heading, text, width in zip(headings, line, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()
) -> list[str]:
    """Return the lines of a Markdown table, as `text_table`; line breaks and bars in a cell break no row.

    Args:
        headings: one a column.
        rows: of cells.
        right: numbers of the columns set to the right.
    """
    rules = ["---:" if heading in right else "---" for heading in headings]
    cells = [headings, rules, *([_cell(value).replace("|", "\\|") for value in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in cells]


def in_words(value: object) -> str:
    """Return a value as people read it: yes and no for truth, none for nothing, the parts of a list."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == [] or value == ():
        return "none"
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _cell(value: object) -> str:
    return "-" if value is None else " ".join(str(value).split())
