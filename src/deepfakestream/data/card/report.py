"""The numbers about a dataset as tables: in plain text for a terminal, in Markdown for a page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from deepfakestream.data.card.statistics import SetStatistics
from deepfakestream.host.text_table import markdown_table, text_table

_TEXT_COLUMNS = {
    *("source", "licence", "label", "method", "split", "measure", "what", "counts"),
    *("rule", "severity", "found", "remedy"),
}
_LISTED = 12


def describe(statistics: SetStatistics) -> str:
    """Return the numbers as plain text for a terminal."""
    lines = [headline(statistics), ""]
    for table in (statistics.by_method, statistics.by_split, statistics.measures):
        lines += [*_plain(*cells(table)), ""]
    return "\n".join([*lines, *_plain(*word_cells(statistics)), *faces_lines(statistics)])


def headline(statistics: SetStatistics) -> str:
    """Return one sentence about the whole dataset."""
    totals = statistics.totals
    people = f", {totals['people']} people named" if totals["people"] else ", people not named"
    unit, factor = next(
        ((unit, factor) for unit, factor in (("GB", 1e9), ("MB", 1e6)) if totals["bytes"] >= factor),
        ("kB", 1e3),
    )
    size = f"{totals['bytes'] / factor:.1f} {unit}"
    text = f"{totals['items']} items in {totals['groups']} groups{people}, {size}"
    return text + (f", {totals['crops']} face crops" if "crops" in totals else "")


def faces_lines(statistics: SetStatistics) -> list[str]:
    """Return how many faces the items gave and how many wait for extraction; nothing before the first one."""
    table = statistics.faces_per_item
    if table is None:
        return []
    totals = statistics.totals
    waiting = totals["items_not_extracted"]
    seen = totals["items"] - waiting
    lines = []
    if seen:
        per_item = table.groupby("crops")["items"].sum()
        values = pd.Series(per_item.index.repeat(per_item.to_numpy()))
        what = "extracted items" if waiting else "items"
        spread = f"crops an item: median {values.median():g}, most {values.max()}"
        lines.append(f"{spread}; {totals['items_without_face']} of {seen} {what} without a face")
    if waiting:
        lines.append(
            f"{waiting} of {totals['items']} items not extracted yet: 'dvc repro extract' looks for faces"
        )
    return lines


def cells(table: pd.DataFrame) -> tuple[list[str], list[list[object]]]:
    """Return a table's headings and its rows, numbers as short text; 0 people means that none is named."""
    rows: list[list[object]] = []
    for _, row in table.iterrows():
        shown = {
            str(name): (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}")
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        if shown.get("people") == 0:
            shown["people"] = None
        rows.append(list(shown.values()))
    return [str(name) for name in table.columns], rows


def word_cells(statistics: SetStatistics) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows of the counts by word: kinds, codecs, licences, versions; commonest first."""
    rows: list[list[object]] = []
    for column, counts in statistics.words.items():
        shown = [f"{word} {number}" for word, number in list(counts.items())[:_LISTED]]
        rest = len(counts) - _LISTED
        rows.append([column, ", ".join(shown) + (f" and {rest} others" if rest > 0 else "")])
    return ["what", "counts"], rows


def page_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table, numbers to the right.

    Args:
        headings: one a column.
        rows: of cells.
    """
    return markdown_table(headings, rows, right=_numbers(headings))


def _plain(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return text_table(headings, rows, right=_numbers(headings))


def _numbers(headings: Sequence[str]) -> list[str]:
    return [name for name in headings if name not in _TEXT_COLUMNS]
