"""The data card: one Markdown page that says what a set is, where it comes from and what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepfakestream.data.atomic import replacing
from deepfakestream.data.set_limits import known_limits
from deepfakestream.data.set_plots import draw_set
from deepfakestream.data.set_report import cells, faces_lines, headline, markdown_table, word_cells
from deepfakestream.data.statistics import CROP_MEASURES, SetStatistics, measure_set

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
    crops: pd.DataFrame | None,
    gate_report: Mapping[str, Any] | None,
    data_digest: str | None,
) -> Path:
    """Write the page and its pictures and return the page's path; the same set gives the same bytes.

    Args:
        directory: folder to write into; made where it is missing.
        manifest: the items.
        crops: the crop table, after extraction.
        gate_report: `artifacts/validate/report.json`, after validation.
        data_digest: version of `data/`, where DVC keeps it.
    """
    statistics = measure_set(manifest, crops)
    for name, picture in draw_set(manifest, crops).items():
        _write(directory / f"{name}.png", picture)
    version = f"Version `{data_digest}` of `data/`. " if data_digest else ""
    lines = ["# Data card", "", f"{version}{headline(statistics)[0].upper()}{headline(statistics)[1:]}."]
    lines += ["", *_items_sections(manifest, statistics, heading="##", pictures=True)]
    lines += _faces_section(statistics) if crops is not None else []
    lines += _gate_section(gate_report)
    path = directory / CARD_FILE
    _write(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def manifest_part(manifest: pd.DataFrame, *, data_digest: str | None) -> str:
    """Return what the page says from the manifest alone, without pictures, for another document."""
    statistics = measure_set(manifest)
    version = [f"Version `{data_digest}`: {headline(statistics)}.", ""] if data_digest else []
    lines = version + _items_sections(manifest, statistics, heading="####", pictures=False)
    return "\n".join(lines).rstrip() + "\n"


def _items_sections(
    manifest: pd.DataFrame, statistics: SetStatistics, *, heading: str, pictures: bool
) -> list[str]:
    origin = manifest.groupby(["source", "licence"]).size().reset_index(name="items")
    rows = [list(row) for row in origin.itertuples(index=False)]
    lines = [f"{heading} Where it comes from", "", *markdown_table(["source", "licence", "items"], rows), ""]
    lines += [f"{heading} What is in it", "", *markdown_table(*cells(statistics.by_method)), ""]
    lines += [*markdown_table(*cells(statistics.by_split)), "", *_picture("methods", pictures)]
    is_crop = statistics.measures["measure"].isin(CROP_MEASURES.values())
    lines += [*markdown_table(*cells(statistics.measures[~is_crop])), ""]
    lines += [*markdown_table(*word_cells(statistics)), "", *_picture("media", pictures)]
    limits = known_limits(manifest) or ["None that the tables tell."]
    return [*lines, f"{heading} Known limits", "", *(f"- {limit}" for limit in limits), ""]


def _faces_section(statistics: SetStatistics) -> list[str]:
    is_crop = statistics.measures["measure"].isin(CROP_MEASURES.values())
    told = [f"{line[0].upper()}{line[1:]}." for line in faces_lines(statistics)]
    table = markdown_table(*cells(statistics.measures[is_crop]))
    return ["## Faces", "", *told, "", *table, "", *_picture("faces", True), *_picture("light", True)]


def _gate_section(report: Mapping[str, Any] | None) -> list[str]:
    lines = ["## Gate", ""]
    if report is None:
        return [*lines, "Not validated yet: `dvc repro validate`."]
    rules = report["rules"]
    broken = [rule for rule in rules if not rule["passed"]]
    verdict = "Passed" if report["passed"] else "**Did not pass**"
    lines.append(f"{verdict}: {len(rules) - len(broken)} of {len(rules)} rules kept.")
    if broken:
        rows = [[f"{r['table']}.{r['rule']}", r["severity"], _found(r), r["remedy"]] for r in broken]
        lines += ["", *markdown_table(["rule", "severity", "found", "remedy"], rows)]
    return lines


def _found(rule: Mapping[str, Any]) -> str:
    return f"{rule['num_failed']} rows" if rule["failed_ids"] else str(rule["observed"])


def _picture(name: str, shown: bool) -> list[str]:
    return [f"![{_ALT[name]}]({name}.png)", ""] if shown else []


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)
