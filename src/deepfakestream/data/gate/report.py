"""What the gate found, as files that the next stages and people read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from deepfakestream.data.gate.checking import RuleResult
from deepfakestream.data.usable_crops import QUARANTINED_FILE

REPORT_FILE = "report.json"
_SCHEMA = pa.schema([("crop_id", pa.string()), ("media_id", pa.string()), ("rule", pa.string())])
_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One crop that was set aside, and the rule that it broke."""

    crop_id: str
    media_id: str
    rule: str


def set_aside(results: Sequence[RuleResult]) -> list[Quarantined]:
    """Return the crops that broke a rule of severity `warning`, ordered by crop and rule."""
    found = [
        Quarantined(crop_id=crop_id, media_id=crop_id.split(":", 1)[0], rule=result.rule)
        for result in results
        if result.severity == "warning" and result.table == "crops"
        for crop_id in result.failed_ids
    ]
    return sorted(found, key=lambda entry: (entry.crop_id, entry.rule))


def write_report(
    directory: Path, results: Sequence[RuleResult], quarantined: Sequence[Quarantined], facts: dict[str, Any]
) -> None:
    """Write `report.json` and `quarantined.parquet`; the same findings give the same bytes."""
    content = {
        "passed": not any(r.severity == "critical" and not r.passed for r in results),
        "facts": facts,
        "rules": [asdict(result) | {"failed_ids": result.failed_ids[:_LISTED]} for result in results],
    }
    (directory / REPORT_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    table = pa.Table.from_pylist([asdict(entry) for entry in quarantined], schema=_SCHEMA)
    pq.write_table(table, directory / QUARANTINED_FILE)
