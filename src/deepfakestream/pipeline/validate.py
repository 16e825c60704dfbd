"""The step validate: rules over manifest, crops and splits decide whether training may go on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from deepfakestream.data.crop_store import read_crop_table
from deepfakestream.data.digests import tables_digest
from deepfakestream.data.quarantine import Quarantine
from deepfakestream.data.validation.checking import Checker, RuleResult
from deepfakestream.data.validation.contact_sheet import write_contact_sheet
from deepfakestream.data.validation.near_duplicates import find_near_duplicates
from deepfakestream.data.validation.page import write_page
from deepfakestream.data.validation.params import ValidateParams
from deepfakestream.data.validation.report import (
    Quarantined,
    excluded_crops,
    record_in_ledger,
    refusals,
    write_report,
)
from deepfakestream.data.validation.rules import (
    crop_rules,
    distribution_rules,
    item_rules,
    method_rules,
    near_duplicate_rules,
    shortcut_rules,
    split_rules,
)
from deepfakestream.data.validation.shortcuts import Shortcut, find_shortcuts
from deepfakestream.data.validation.views import (
    crops_view,
    distributions_view,
    items_view,
    methods_view,
    near_duplicates_view,
    shortcuts_view,
    splits_view,
)
from deepfakestream.data.versioning.named_data import read_named_items
from deepfakestream.errors import GateError
from deepfakestream.host.counted import counted
from deepfakestream.monitoring.audit import append_audit
from deepfakestream.settings import Settings
from deepfakestream.wiring import open_alerter

SHEET_FILE = "near_duplicates.png"
_STOPPED = "the data rules stop training"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateReport:
    """What the gate found; it exists only where no critical rule was broken."""

    results: list[RuleResult]
    quarantined: list[Quarantined]
    shortcuts: list[Shortcut]
    """Empty where a label has too few groups to measure on."""
    num_items: int
    num_crops: int

    def describe(self) -> str:
        """Return the report as a few lines."""
        num_passed = sum(result.passed for result in self.results)
        lines = [
            (
                f"validated {counted(self.num_items, 'item')} and {counted(self.num_crops, 'crop')}: "
                f"{num_passed} of {len(self.results)} rules kept, none that stops training is broken"
            )
        ]
        lines += [f"warning: {result.describe()}" for result in self.results if not result.passed]
        by_rule = Counter(entry.rule for entry in self.quarantined)
        if by_rule:
            counts_text = ", ".join(f"{rule} {count}" for rule, count in sorted(by_rule.items()))
            crops = counted(len({entry.crop_id for entry in self.quarantined}), "crop")
            lines.append(f"{crops} excluded ({counts_text}): artifacts/validate/quarantined.parquet")
        worst = "nothing differs between items"
        if not self.shortcuts:
            worst = "not measured, a label has too few source groups"
        elif metadata := [shortcut for shortcut in self.shortcuts if shortcut.is_metadata]:
            worst = max(metadata, key=lambda shortcut: shortcut.auc).describe()
        lines.append(f"label from metadata alone: {worst}")
        lines.append("page: artifacts/validate/data_docs/index.html")
        return "\n".join(lines)


def run(params: ValidateParams, *, settings: Settings) -> ValidateReport:
    """Check the dataset; write its findings to `artifacts/validate` whatever comes out.

    That is `report.json`, `quarantined.parquet`, `near_duplicates.csv` and `data_docs/` with a page
    of all rules and, where there are near duplicates, a picture of them. Crops that break a rule on quality,
    and items that a later split shows too, are excluded: `data.usable_crops` leaves them out, and the
    quarantine ledger lists them. A broken rule about the dataset as a whole stops the pipeline.

    Args:
        params: section `validate`.
        settings: of the workspace.

    Raises:
        DataError: nothing has been ingested or extracted, or `data/` is another version than the one that
            `data.dvc` names.
        GateError: a critical rule is broken; the message names rule, rows and remedy.
    """
    manifest = read_named_items(settings.workspace, settings.data_dir)
    extract_dir = settings.extract_dir
    crops = read_crop_table(extract_dir)
    directory = settings.validate_dir
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    duplicates = find_near_duplicates(
        crops, manifest, extract_dir, min_similarity=params.near_duplicate_similarity
    )
    shortcuts = find_shortcuts(manifest, crops)
    checker = Checker()
    results = _check_rows(checker, manifest, crops, duplicates, params)
    if shortcuts:
        view = shortcuts_view(shortcuts)
        results += checker.check("shortcuts", view, shortcut_rules(params), id_column="column")
    quarantined = excluded_crops(results, crops)
    splits = splits_view(crops, {entry.crop_id for entry in quarantined}, duplicates)
    for name, is_test in (("splits", False), ("test_split", True)):
        rows = splits[(splits["split"] == "test") == is_test].reset_index(drop=True)
        results += checker.check(name, rows, split_rules(params, is_test=is_test), id_column="split")
    write_page(directory / "data_docs", results, picture=SHEET_FILE if len(duplicates) else None)
    if len(duplicates):
        write_contact_sheet(directory / "data_docs" / SHEET_FILE, duplicates, crops, extract_dir)
    facts = _facts(manifest, crops, splits, shortcuts)
    write_report(directory, results, quarantined, duplicates, facts)
    entries = refusals(quarantined, crops, manifest, data_dir=settings.data_dir)
    record_in_ledger(Quarantine(settings.quarantine_db), entries)
    broken = [result for result in results if result.severity == "critical" and not result.passed]
    alerter = open_alerter(settings)
    rules_text = [result.rule for result in broken]
    audited = {"passed": not broken, "broken": rules_text, "tables": facts["tables_sha256"]}
    append_audit(settings.audit_file, "validate", audited)
    if broken:
        sentences = " | ".join(result.describe() for result in broken)
        rules = "1 rule is" if len(broken) == 1 else f"{len(broken)} rules are"
        problem = f"validate: {rules} broken: {sentences}; see artifacts/validate/data_docs/index.html"
        alerter.begin(_STOPPED, "validation.stopped", problem)
        raise GateError(problem)
    alerter.end(_STOPPED, "validation.stopped", "no rule that stops training is broken any more")
    return ValidateReport(
        results=results,
        quarantined=quarantined,
        shortcuts=shortcuts,
        num_items=len(manifest),
        num_crops=len(crops),
    )


def _check_rows(
    checker: Checker,
    manifest: pd.DataFrame,
    crops: pd.DataFrame,
    duplicates: pd.DataFrame,
    params: ValidateParams,
) -> list[RuleResult]:
    tables = (
        ("items", items_view(manifest, crops), item_rules(params), "media_id"),
        ("methods", methods_view(manifest), method_rules(params), "method"),
        ("crops", crops_view(crops, manifest), crop_rules(params), "crop_id"),
        ("distributions", distributions_view(crops, params), distribution_rules(), "quantile"),
        ("near_duplicates", near_duplicates_view(duplicates), near_duplicate_rules(), "media_id"),
    )
    return [
        result
        for name, view, rules, id_column in tables
        for result in checker.check(name, view, rules, id_column=id_column)
    ]


def _facts(
    manifest: pd.DataFrame, crops: pd.DataFrame, splits: pd.DataFrame, shortcuts: Sequence[Shortcut]
) -> dict[str, Any]:
    return {
        "num_items": len(manifest),
        "num_crops": len(crops),
        "tables_sha256": tables_digest(manifest, crops),
        "splits": splits.to_dict("records"),
        "shortcuts": [asdict(shortcut) for shortcut in shortcuts],
    }
