"""What the gate found, as files that the next stages and people read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepfakestream.data.quarantine import GATE_REASONS, Quarantine, Refusal
from deepfakestream.data.usable_crops import QUARANTINED_FILE
from deepfakestream.data.validation.checking import RuleResult
from deepfakestream.errors import Reason

REPORT_FILE = "report.json"
NEAR_DUPLICATES_FILE = "near_duplicates.csv"
NEAR_DUPLICATE_RULE = "near_duplicate"
_SCHEMA = pa.schema([("crop_id", pa.string()), ("media_id", pa.string()), ("rule", pa.string())])
_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One crop that was excluded, and the rule that it broke."""

    crop_id: str
    media_id: str
    rule: str


def excluded_crops(results: Sequence[RuleResult], crops: pd.DataFrame) -> list[Quarantined]:
    """Return the crops that broke a rule of severity `warning`, ordered by crop and rule.

    Of an item that a later split shows too, all crops go.

    Args:
        results: one a rule.
        crops: columns of `CROP_COLUMNS`.
    """
    found: list[Quarantined] = []
    for result in results:
        if result.severity != "warning" or result.table not in ("crops", "near_duplicates"):
            continue
        column = "crop_id" if result.table == "crops" else "media_id"
        broken = crops.loc[crops[column].isin(set(result.failed_ids)), ["crop_id", "media_id"]]
        found += [
            Quarantined(
                crop_id=crop_id,
                media_id=media_id,
                rule=NEAR_DUPLICATE_RULE if result.table == "near_duplicates" else result.rule,
            )
            for crop_id, media_id in broken.itertuples(index=False)
        ]
    return sorted(found, key=lambda entry: (entry.crop_id, entry.rule))


def refusals(
    quarantined: Sequence[Quarantined], crops: pd.DataFrame, manifest: pd.DataFrame, *, data_dir: Path
) -> list[Refusal]:
    """Return entries for the quarantine ledger: one an item and reason, with how many crops it lost.

    Args:
        quarantined: crops that broke a rule, one a crop and rule.
        crops: columns of `CROP_COLUMNS`.
        manifest: columns of `MANIFEST_COLUMNS`.
        data_dir: folder of the dataset.
    """
    num_crops = crops.groupby("media_id").size()
    items = {row["media_id"]: row for row in manifest.to_dict("records")}
    lost: dict[tuple[str, Reason], list[Quarantined]] = {}
    for entry in quarantined:
        reason = Reason.NEAR_DUPLICATE if entry.rule == NEAR_DUPLICATE_RULE else Reason.LOW_QUALITY
        lost.setdefault((entry.media_id, reason), []).append(entry)
    found = []
    for (media_id, reason), entries in lost.items():
        if media_id in items:
            by_rule = Counter(entry.rule for entry in entries)
            counts_text = ", ".join(f"{rule} {count}" for rule, count in sorted(by_rule.items()))
            num_lost = len({entry.crop_id for entry in entries})
            message = (
                f"validate excluded {num_lost} of {num_crops[media_id]} crops ({counts_text}); see "
                "artifacts/validate"
            )
            item = items[media_id]
            found.append(
                Refusal(
                    source=item["source"],
                    original_name=item["original_name"],
                    reason=reason,
                    message=message,
                    path=str(data_dir / item["path"]),
                    media_id=media_id,
                )
            )
    return found


def record_in_ledger(ledger: Quarantine, found: Sequence[Refusal]) -> None:
    """Bring the ledger's entries of validation up to date: what is no longer excluded is dropped.

    Args:
        ledger: of the dataset.
        found: refusals of this validation.
    """
    now = {(refusal.source, refusal.original_name, refusal.reason) for refusal in found}
    for reason in GATE_REASONS:
        known = [entry.refusal for entry in ledger.list(reason=reason)]
        gone = [(r.source, r.original_name) for r in known if (r.source, r.original_name, reason) not in now]
        ledger.release(gone, reason=reason)
    ledger.add(found)


def write_report(
    directory: Path,
    results: Sequence[RuleResult],
    quarantined: Sequence[Quarantined],
    duplicates: pd.DataFrame,
    facts: dict[str, Any],
) -> None:
    """Write report, quarantined crops and near duplicates; equal findings give equal bytes.

    Args:
        directory: folder to write to.
        results: of Great Expectations, one a rule.
        quarantined: crops that training leaves out.
        duplicates: near duplicates, one row a pair.
        facts: counts that the report states.
    """
    content = {
        "passed": not any(r.severity == "critical" and not r.passed for r in results),
        "facts": facts,
        "rules": [asdict(result) | {"failed_ids": result.failed_ids[:_LISTED]} for result in results],
    }
    (directory / REPORT_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    table = pa.Table.from_pylist([asdict(entry) for entry in quarantined], schema=_SCHEMA)
    pq.write_table(table, directory / QUARANTINED_FILE)
    duplicates.to_csv(directory / NEAR_DUPLICATES_FILE, index=False, lineterminator="\n")
