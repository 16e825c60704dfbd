"""The table that `ablate` prints: how well each configuration tells fakes, and what surely differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from deepfakestream.evaluation.differences import Difference, auc_difference
from deepfakestream.evaluation.estimate import INTERVAL, quantiles, resample_groups
from deepfakestream.host.text_table import markdown_table
from deepfakestream.training.validation import LabelledImages

ONE_SIDED = 0.975
"""Confidence of each bound of a 95 % interval."""

Interval = tuple[float, float | None, float | None]
"""A value and the ends of its 95 % interval, None where there are too few source groups for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """One configuration, trained and measured on the validation pictures."""

    auc: dict[str, Interval]
    """By kind of fake."""
    logits: dict[str, list[float]]
    """By kind of fake, in the order of its pictures."""
    parameters: int
    ms_per_face: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationReport:
    """Rows by configuration, and how each differs from the first by kind of fake."""

    rows: dict[str, AblationRow]
    differences: dict[str, dict[str, Difference]]
    left_out: dict[str, str] = field(default_factory=dict)
    """Why a configuration could not be trained, by its name."""

    def describe(self) -> str:
        """Return the report as a Markdown table: bold is what surely differs from the first row."""
        kinds = sorted({kind for row in self.rows.values() for kind in row.auc})
        rows = [
            [
                name,
                *(self._cell(name, kind) for kind in kinds),
                f"{row.parameters / 1e6:.2f} M",
                f"{row.ms_per_face:.1f}",
            ]
            for name, row in self.rows.items()
        ]
        table = "\n".join(markdown_table(["configuration", *kinds, "parameters", "ms a face"], rows))
        return (
            f"{table}\n\nAUC with 95 % intervals from resampled source groups. Bold: the interval of the "
            f"difference from '{next(iter(self.rows))}' on the same pictures does not hold 0; how far two "
            "trainings of one configuration differ is not in it."
            + "".join(f"\n\nLeft out: '{name}': {reason}." for name, reason in self.left_out.items())
        )

    def _cell(self, name: str, kind: str) -> str:
        if kind not in self.rows[name].auc:
            return ""
        value, low, high = self.rows[name].auc[kind]
        text = f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f}-{high:.3f})"
        difference = self.differences.get(name, {}).get(kind)
        if difference is None or difference.low is None or difference.high is None:
            return text
        return f"**{text}**" if difference.low > 0 or difference.high < 0 else text


def compare(
    rows: Mapping[str, AblationRow], validation: Mapping[str, LabelledImages], *, seed: int
) -> AblationReport:
    """Return the report on at least one row.

    Args:
        rows: by configuration; the first is what the others are compared with.
        validation: the pictures that the rows' logits are of.
        seed: of the resamples.
    """
    first, *others = rows
    differences = {
        name: {
            kind: difference
            for kind, part in validation.items()
            if (difference := _difference(rows[name].logits[kind], rows[first].logits[kind], part, seed))
        }
        for name in others
    }
    return AblationReport(rows=dict(rows), differences=differences)


def _difference(own: list[float], first: list[float], part: LabelledImages, seed: int) -> Difference | None:
    pairs = pd.DataFrame(
        {
            "label": np.where(part.is_fake, "fake", "real"),
            "group_id": part.groups,
            "challenger": own,
            "champion": first,
        }
    )
    return auc_difference(pairs, confidence=ONE_SIDED, seed=seed)


def auc_with_interval(
    logits: NDArray[np.float64], part: LabelledImages, *, num_bootstrap: int, seed: int
) -> Interval:
    """Return the AUC with its 95 % interval, from resampled source groups.

    Args:
        logits: `(N,)`, one for each picture.
        part: the pictures, their labels and source groups.
        num_bootstrap: number of resamples.
        seed: of the resamples.
    """
    resampled = np.array(
        [
            roc_auc_score(part.is_fake[drawn], logits[drawn])
            if 0 < part.is_fake[drawn].sum() < len(drawn)
            else np.nan
            for drawn in resample_groups(part.groups, num_bootstrap=num_bootstrap, seed=seed)
        ]
    )
    low, high = quantiles(resampled, INTERVAL) or (None, None)
    return float(roc_auc_score(part.is_fake, logits)), low, high
