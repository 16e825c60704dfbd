"""Running suites with Great Expectations and reading what they found into our own values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from deepfakestream.host.counted import counted

_NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How one rule fared."""

    table: str
    rule: str
    severity: Literal["critical", "warning"]
    passed: bool
    observed: float | str | None
    """What was measured, for rules over the whole table."""
    num_failed: int
    """Rows that broke it, for rules over rows."""
    failed_ids: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    """Some of the failed rows, as people know them."""
    remedy: str = ""

    @property
    def found(self) -> str:
        """The rows that broke the rule, or what was measured, in words."""
        if self.failed_ids:
            shown = ", ".join(self.examples)
            return f"{counted(self.num_failed, 'row')}, e.g. {shown}"
        return f"{self.observed:.12g}" if isinstance(self.observed, float) else self.observed or "nothing"

    def describe(self) -> str:
        """Return the breach and its remedy in one line."""
        what = self.found if self.failed_ids else f"found {self.found}"
        return f"{self.table}.{self.rule} ({what}): {self.remedy}"


class Checker:
    """Checks tables in a Great Expectations context of its own, fresh each time."""

    def __init__(self) -> None:
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)

    def check(
        self, name: str, table: pd.DataFrame, rules: Sequence[Any], *, id_column: str
    ) -> list[RuleResult]:
        """Return how each rule fared on a table.

        Args:
            name: name of the table in the results.
            table: rows with a plain index.
            rules: expectations with `meta` keys `rule` and `remedy`.
            id_column: column that names a row in the results; `shown_as`, where there is one, tells people.
        """
        context = self._context
        source = context.data_sources.add_pandas(name).add_dataframe_asset(name)
        batch = source.add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(rules)))
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=name,
                validation_definitions=[definition],
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [id_column]},
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": table})
        (validation,) = outcome.run_results.values()
        shown_column = "shown_as" if "shown_as" in table.columns else id_column
        names = dict(zip(table[id_column].astype(str), table[shown_column].astype(str), strict=True))
        results = [_read(name, result, id_column, names) for result in validation.results]
        return sorted(results, key=lambda result: result.rule)


def _read(table: str, result: Any, id_column: str, names: Mapping[str, str]) -> RuleResult:
    config, details = result.expectation_config, result.result
    failed = [str(row[id_column]) for row in details.get("unexpected_index_list") or []]
    return RuleResult(
        table=table,
        rule=config.meta["rule"],
        severity=config.severity.value,
        passed=bool(result.success),
        observed=_observed(details),
        num_failed=int(details.get("unexpected_count", 0)),
        failed_ids=failed,
        examples=[names.get(name, name) for name in failed[:_NUM_EXAMPLES]],
        remedy=config.meta["remedy"],
    )


def _observed(details: Any) -> float | str | None:
    if not details:
        return "a column that is not there"
    value = details.get("observed_value")
    if isinstance(value, list | set | tuple):
        missing = details.get("details", {}).get("mismatched", {}).get("missing", [])
        return f"no column {', '.join(missing)}" if missing else ", ".join(sorted(map(str, value)))
    if value is None or math.isnan(value):
        return None
    return round(float(value), 6)
