"""The data card: a Markdown page about what a dataset is, where it comes from and what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.card.limits import known_limits
from deepfakestream.data.card.plots import draw_set
from deepfakestream.data.card.report import cells, faces_lines, headline, page_table, word_cells
from deepfakestream.data.card.statistics import CROP_MEASURES, Extracted, SetStatistics, measure_set
from deepfakestream.data.digests import tables_digest
from deepfakestream.host.whole_files import replacing

CARD_FILE = "data-card.md"
_ALT = {
    "methods": "Items by method and split",
    "media": "Durations, file sizes and picture sizes of reals and fakes",
    "faces": "Face sizes and crops an item, of reals and fakes",
    "light": "Sharpness and brightness of the crops of reals and fakes",
}


def write_card(
    directory: Path,
    *,
    manifest: pd.DataFrame,
    extracted: Extracted | None,
    validation_report: Mapping[str, Any] | None,
    data_digest: str | None,
) -> Path:
    """Write the page and its pictures and return the page's path; the same set gives the same bytes.

    Args:
        directory: folder to write into; made where it is missing.
        manifest: one row an item, columns as in `columns.MANIFEST_COLUMNS`.
        extracted: what extraction found, where it has run.
        validation_report: `artifacts/validate/report.json`, after validation; where it is about other items
            or crops, the page says so in place of its findings.
        data_digest: version of `data/`, where DVC keeps it.
    """
    statistics = measure_set(manifest, extracted)
    for name, picture in draw_set(manifest, extracted).items():
        _write(directory / f"{name}.png", picture)
    version = f"Version `{data_digest}` of `data/`. " if data_digest else ""
    lines = ["# Data card", "", version + _sentence(headline(statistics)), ""]
    lines += _items_sections(manifest, statistics, heading="##", pictures=True)
    if extracted is not None:
        sentences = [_sentence(line) for line in faces_lines(statistics)]
        table = page_table(*cells(statistics.measures[_is_of_crops(statistics)]))
        lines += ["## Faces", "", *sentences, "", *table, "", *_picture("faces"), *_picture("light")]
    lines += _validation_section(
        validation_report, is_current=_is_current(validation_report, manifest, extracted)
    )
    path = directory / CARD_FILE
    _write(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def manifest_part(manifest: pd.DataFrame, *, data_digest: str | None) -> str:
    """Return what the page says from the manifest alone, without pictures, for another document.

    Args:
        manifest: columns of `MANIFEST_COLUMNS`.
        data_digest: digest that `data.dvc` has; None: not recorded.
    """
    statistics = measure_set(manifest)
    version = [f"Version `{data_digest}`: {headline(statistics)}.", ""] if data_digest else []
    lines = version + _items_sections(manifest, statistics, heading="####", pictures=False)
    return "\n".join(lines).rstrip() + "\n"


def _items_sections(
    manifest: pd.DataFrame, statistics: SetStatistics, *, heading: str, pictures: bool
) -> list[str]:
    origin = manifest.groupby(["source", "licence"]).size().reset_index(name="items")
    rows = [list(row) for row in origin.itertuples(index=False)]
    lines = [f"{heading} Where it comes from", "", *page_table(["source", "licence", "items"], rows), ""]
    lines += [f"{heading} What is in it", "", *page_table(*cells(statistics.by_method)), ""]
    lines += [*page_table(*cells(statistics.by_split)), "", *(_picture("methods") if pictures else ())]
    lines += [*page_table(*cells(statistics.measures[~_is_of_crops(statistics)])), ""]
    lines += [*page_table(*word_cells(statistics)), "", *(_picture("media") if pictures else ())]
    limits = known_limits(manifest) or ["None that the tables tell."]
    return [*lines, f"{heading} Known limits", "", *(f"- {limit}" for limit in limits), ""]


def _is_of_crops(statistics: SetStatistics) -> pd.Series:
    """Return which rows of the measures are about crops; the others are about items."""
    return statistics.measures["measure"].isin(CROP_MEASURES.values())


def _is_current(
    report: Mapping[str, Any] | None, manifest: pd.DataFrame, extracted: Extracted | None
) -> bool:
    if report is None or extracted is None:
        return False
    digest = report.get("facts", {}).get("tables_sha256")
    return bool(digest == tables_digest(manifest, extracted.crops))


def _validation_section(report: Mapping[str, Any] | None, *, is_current: bool) -> list[str]:
    lines = ["## Gate", ""]
    if report is None:
        return [*lines, "Not validated yet: `dvc repro validate`."]
    if not is_current:
        facts = report.get("facts", {})
        sizes = [f"{facts[f'num_{name}']} {name}" for name in ("items", "crops") if f"num_{name}" in facts]
        summary = ", ".join([*sizes, "passed" if report["passed"] else "did not pass"])
        old = f"the validation report is of an earlier version of the data ({summary})"
        return [*lines, f"Not validated yet: {old}; `dvc repro validate` checks this one."]
    rules = report["rules"]
    broken = [rule for rule in rules if not rule["passed"]]
    verdict = "Passed" if report["passed"] else "**Did not pass**"
    lines.append(f"{verdict}: {len(rules) - len(broken)} of {len(rules)} rules kept.")
    if broken:
        rows = [
            [
                f"{r['table']}.{r['rule']}",
                r["severity"],
                (f"{r['num_failed']} rows" if r["failed_ids"] else str(r["observed"])),
                r["remedy"],
            ]
            for r in broken
        ]
        lines += ["", *page_table(["rule", "severity", "found", "remedy"], rows)]
    return lines


def _picture(name: str) -> list[str]:
    return [f"![{_ALT[name]}]({name}.png)", ""]


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)
