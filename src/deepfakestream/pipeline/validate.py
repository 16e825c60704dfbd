"""The step validate: rules over manifest, crops and splits decide whether training may go on."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from deepfakestream.data.crop_store import read_crop_table
from deepfakestream.data.gate.checking import Checker, RuleResult
from deepfakestream.data.gate.report import Quarantined, set_aside, write_report
from deepfakestream.data.gate.rules import crop_rules, item_rules, split_rules
from deepfakestream.data.gate.views import crops_view, items_view, splits_view
from deepfakestream.data.manifest import read_manifest
from deepfakestream.errors import GateError
from deepfakestream.params import ValidateParams
from deepfakestream.settings import Settings

VALIDATE_DIR = "validate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateReport:
    """What the gate found; it exists only where no critical rule was broken."""

    results: list[RuleResult]
    quarantined: list[Quarantined]
    num_items: int
    num_crops: int

    def describe(self) -> str:
        """Return the report as a few lines."""
        num_passed = sum(result.passed for result in self.results)
        lines = [
            (
                f"validated {self.num_items} items and {self.num_crops} crops: "
                f"{num_passed} of {len(self.results)} rules kept, none that stops training is broken"
            )
        ]
        lines += [f"warning: {result.describe()}" for result in self.results if not result.passed]
        by_rule = Counter(entry.rule for entry in self.quarantined)
        if by_rule:
            told = ", ".join(f"{rule} {count}" for rule, count in sorted(by_rule.items()))
            num_crops = len({entry.crop_id for entry in self.quarantined})
            lines.append(f"{num_crops} crops set aside ({told}): artifacts/validate/quarantined.parquet")
        lines.append("pages: artifacts/validate/data_docs/index.html")
        return "\n".join(lines)


def run(params: ValidateParams, *, settings: Settings) -> ValidateReport:
    """Check the set; write `report.json`, `quarantined.parquet` and `data_docs/` whatever comes out.

    Crops that break a rule on picture quality are set aside: `data.usable_crops` leaves them out. A broken
    rule about the set as a whole stops the pipeline.

    Raises:
        DataError: nothing has been ingested or extracted.
        GateError: a critical rule is broken; the message names rule, rows and remedy.
    """
    manifest = read_manifest(settings.data_dir)
    crops = read_crop_table(settings.artifacts_dir / "extract")
    directory = settings.artifacts_dir / VALIDATE_DIR
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    checker = Checker(directory / "data_docs")
    results = checker.check("items", items_view(manifest, crops), item_rules(params), id_column="media_id")
    results += checker.check("crops", crops_view(crops, manifest), crop_rules(params), id_column="crop_id")
    quarantined = set_aside(results)
    splits = splits_view(crops, {entry.crop_id for entry in quarantined})
    for name, is_test in (("splits", False), ("test_split", True)):
        rows = splits[(splits["split"] == "test") == is_test].reset_index(drop=True)
        results += checker.check(name, rows, split_rules(params, is_test=is_test), id_column="split")
    write_report(directory, results, quarantined, _facts(manifest, crops, splits))
    _stop_if_broken(results)
    return ValidateReport(
        results=results, quarantined=quarantined, num_items=len(manifest), num_crops=len(crops)
    )


def _facts(manifest: pd.DataFrame, crops: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Any]:
    return {"num_items": len(manifest), "num_crops": len(crops), "splits": splits.to_dict("records")}


def _stop_if_broken(results: list[RuleResult]) -> None:
    broken = [result for result in results if result.severity == "critical" and not result.passed]
    if broken:
        told = " | ".join(result.describe() for result in broken)
        rules = "1 rule is" if len(broken) == 1 else f"{len(broken)} rules are"
        raise GateError(f"validate: {rules} broken: {told}; see artifacts/validate/data_docs/index.html")
