"""The first page of the Data Docs: every rule with what was found, what to do, and the page of its table.

Great Expectations' own first page fills its tables by scripts from elsewhere, and is empty without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from deepfakestream.data.validation.checking import RuleResult
from deepfakestream.data.validation.pages import STYLE

_ORDER = {"broken": 0, "warning": 1, "kept": 2}
_COLOURS = {"broken": "text-danger", "warning": "", "kept": "text-success"}


def write_index(docs_dir: Path, results: Sequence[RuleResult], *, picture: str | None = None) -> None:
    """Write `index.html` in place of Great Expectations' own; rules that are not kept come first.

    Args:
        docs_dir: folder of the Data Docs, with the pages of all tables.
        results: how each rule fared.
        picture: name of a picture of near duplicates in that folder, where there is one.
    """
    pages = {result.table: _page_of(docs_dir, result.table) for result in results}
    ordered = sorted(results, key=lambda result: (_ORDER[_status(result)], result.table, result.rule))
    rows = "\n".join(_row(result, pages[result.table]) for result in ordered)
    counts = Counter(_status(result) for result in results)
    told = ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
    shown = (
        f'<h2>Near duplicates</h2><p><img src="{escape(picture)}" alt="near duplicates">' if picture else ""
    )
    html = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Validation</title>{STYLE}</head>'
        f"<body><h1>Validation</h1><p>{len(results)} rules: {told}. A broken rule stops the pipeline, a "
        "warning does not. The link of a table leads to its page.</p>"
        '<table class="rules"><tr><th>table<th>rule<th>result<th>found<th>what to do</tr>'
        f"{rows}</table>{shown}</body></html>\n"
    )
    (docs_dir / "index.html").write_text(html, encoding="utf-8")


def _page_of(docs_dir: Path, table: str) -> str | None:
    """Return the page of a table's newest check, seen from the folder."""
    found = sorted((docs_dir / "validations" / table).rglob("*.html"))
    return found[-1].relative_to(docs_dir).as_posix() if found else None


def _status(result: RuleResult) -> str:
    if result.passed:
        return "kept"
    return "broken" if result.severity == "critical" else "warning"


def _row(result: RuleResult, page: str | None) -> str:
    status = _status(result)
    table = f'<a href="{escape(page)}">{escape(result.table)}</a>' if page else escape(result.table)
    # Of a kept rule only a number tells something, e.g. how near it came.
    found = "" if result.passed and not isinstance(result.observed, float) else result.found
    remedy = "" if result.passed else result.remedy
    return (
        f'<tr><td>{table}<td>{escape(result.rule)}<td class="{_COLOURS[status]}">{status}'
        f"<td>{escape(found)}<td>{escape(remedy)}</tr>"
    )
