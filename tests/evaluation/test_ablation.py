import numpy as np
import pytest

from deepfakestream.evaluation.ablation import AblationReport, AblationRow, compare
from deepfakestream.training.validation import LabelledImages

NUM_GROUPS = 60


def row(*, auc: dict[str, tuple[float, float | None, float | None]], logits: list[float]) -> AblationRow:
    return AblationRow(auc=auc, logits=dict.fromkeys(auc, logits), parameters=3_370_000, ms_per_face=4.04)


@pytest.fixture
def validation() -> dict[str, LabelledImages]:
    """One real and one fake a group."""
    return {
        "swap": LabelledImages(
            images=np.zeros((2 * NUM_GROUPS, 8, 8, 3), np.uint8),
            is_fake=np.tile([False, True], NUM_GROUPS),
            groups=np.repeat([f"g{i}" for i in range(NUM_GROUPS)], 2),
        )
    }


def logits(rng: np.random.Generator, *, distance: float) -> list[float]:
    drawn = rng.normal(size=2 * NUM_GROUPS) + np.tile([0.0, distance], NUM_GROUPS)
    return [float(value) for value in drawn]


def test_bold_is_what_surely_differs_from_the_first(validation: dict[str, LabelledImages]) -> None:
    rng = np.random.default_rng(0)
    first = logits(rng, distance=3.0)
    same = [
        value + float(noise) for value, noise in zip(first, rng.normal(size=len(first)) / 10, strict=True)
    ]
    rows = {
        "as configured": row(auc={"swap": (0.98, 0.95, 1.0)}, logits=first),
        "rgb": row(auc={"swap": (0.5, 0.4, 0.6)}, logits=logits(rng, distance=0.0)),
        "srm": row(auc={"swap": (0.98, None, None)}, logits=same),
    }
    report = compare(rows, validation, seed=7)
    assert set(report.differences) == {"rgb", "srm"}
    rgb, srm = report.differences["rgb"]["swap"], report.differences["srm"]["swap"]
    assert rgb.high is not None
    assert rgb.high < 0
    assert srm.low is not None
    assert srm.high is not None
    assert srm.low <= 0 <= srm.high
    table, note = report.describe().split("\n\n")
    assert table.splitlines() == [
        "| configuration | swap | parameters | ms a face |",
        "| --- | --- | --- | --- |",
        "| as configured | 0.980 (0.950-1.000) | 3.37 M | 4.0 |",
        "| rgb | **0.500 (0.400-0.600)** | 3.37 M | 4.0 |",
        "| srm | 0.980 | 3.37 M | 4.0 |",
    ]
    assert "difference from 'as configured'" in note


def test_a_kind_that_one_row_lacks_is_empty() -> None:
    rows = {
        "rgb": row(auc={"swap": (0.8, None, None)}, logits=[]),
        "srm": row(auc={"dataset": (0.5, None, None)}, logits=[]),
    }
    table = AblationReport(rows=rows, differences={}).describe().splitlines()
    assert table[2].startswith("| rgb |  | 0.800 |")
    assert table[3].startswith("| srm | 0.500 |  |")


def test_one_source_group_tells_nothing(validation: dict[str, LabelledImages]) -> None:
    part = validation["swap"]
    alone = {
        "swap": LabelledImages(
            images=part.images, is_fake=part.is_fake, groups=np.repeat("g", 2 * NUM_GROUPS)
        )
    }
    rng = np.random.default_rng(0)
    rows = {
        name: row(auc={"swap": (0.9, None, None)}, logits=logits(rng, distance=d))
        for name, d in (("a", 3.0), ("b", 0.0))
    }
    report = compare(rows, alone, seed=7)
    assert report.differences["b"]["swap"].low is None
    assert "**" not in report.describe().split("\n\n")[0]


def test_what_was_left_out_is_said_below_the_table() -> None:
    rows = {"rgb": row(auc={"swap": (0.8, None, None)}, logits=[])}
    report = AblationReport(rows=rows, differences={}, left_out={"taught by version 0": "other crops"})
    assert report.describe().splitlines()[-1] == "Left out: 'taught by version 0': other crops."
