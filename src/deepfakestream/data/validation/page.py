"""The page of a validation: every rule with what was found and what to do, table by table.

Great Expectations' own pages are empty without scripts from other hosts, so ours is written from its results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from deepfakestream.data.validation.checking import RuleResult

PAGE_FILE = "index.html"
_ORDER = {"broken": 0, "warning": 1, "kept": 2}
_STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 0 1rem 3rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
td, th { border: 1px solid #d5dbe1; padding: .35rem .6rem; vertical-align: top; text-align: left; }
td { overflow-wrap: anywhere; }
td:nth-child(-n+3) { overflow-wrap: normal; white-space: nowrap; }
.broken { color: #b42318; }
.kept { color: #18794e; }
img { max-width: 100%; }
</style>"""


def write_page(directory: Path, results: Sequence[RuleResult], *, picture: str | None = None) -> Path:
    """Write `index.html` and return its path; rules that are broken come first.

    Args:
        directory: folder to write to; made where it is missing.
        results: how each rule fared.
        picture: file name of a picture of near duplicates in that folder, where there is one.
    """
    ordered = sorted(results, key=lambda result: (_ORDER[_status(result)], result.table, result.rule))
    counts = Counter(_status(result) for result in results)
    summary = ", ".join(f"{counts[status]} {status}" for status in _ORDER if counts[status])
    shown = (
        f'<h2>Near duplicates</h2><p><img src="{escape(picture)}" alt="near duplicates">' if picture else ""
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / PAGE_FILE
    path.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Validation</title>{_STYLE}</head>'
        f"<body><h1>Validation</h1><p>{len(results)} rules: {summary}. A broken rule stops the pipeline, a "
        "warning does not.</p>"
        "<table><tr><th>table<th>rule<th>result<th>rows that fail<th>found<th>what to do</tr>"
        f"{''.join(_row(result) for result in ordered)}</table>{shown}</body></html>\n",
        encoding="utf-8",
    )
    return path


def _status(result: RuleResult) -> str:
    if result.passed:
        return "kept"
    return "broken" if result.severity == "critical" else "warning"


def _row(result: RuleResult) -> str:
    status = _status(result)
    # Of a kept rule only a number tells something, e.g. how near it came.
    found = "" if result.passed and not isinstance(result.observed, float) else result.found
    remedy = "" if result.passed else result.remedy
    return (
        f'<tr><td>{escape(result.table)}<td>{escape(result.rule)}<td class="{status}">{status}'
        f"<td>{result.num_failed or ''}<td>{escape(found)}<td>{escape(remedy)}</tr>\n"
    )
