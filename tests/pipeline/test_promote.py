from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deepfakestream.errors import DataError, GateError
from deepfakestream.evaluation.params import EvaluateParams
from deepfakestream.pipeline import evaluate, promote
from deepfakestream.promotion.ledger import append_entry, read_entries
from deepfakestream.promotion.params import PromoteParams
from deepfakestream.registry import champion, versions
from deepfakestream.registry.lineage import LINEAGE
from deepfakestream.registry.store import open_client
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

Make = Callable[..., Settings]
Write = Callable[..., None]
Copy = Callable[[Settings], Settings]
EVALUATE = EvaluateParams(num_bootstrap=20, robustness_faces=0)
POLICY = PromoteParams(
    min_auc=0.6, max_ece=0.5, min_groups=20, min_new_items=10, auc_margin=0.02, confidence=0.9
)
EARLIER, LATER = "2025-12-31T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
"""Before and when the items of the workspace were ingested."""


def _train_and_promote(
    settings: Settings,
    write_model: Write,
    *,
    slope: float,
    name: str,
    policy: PromoteParams = POLICY,
    learned_until: str = EARLIER,
) -> promote.Promotion:
    """Promote a model against one that takes every fake for real, or the champion."""
    version_0 = settings.work_dir / "version-0"
    if not version_0.exists():
        write_model(version_0, slope=-1.0, name="version 0")
    write_model(settings.artifacts_dir / "train", slope=slope, name=name)
    facts = {"run_id": "unknown-run", "training_items": {"count": 40, "until": learned_until}}
    (settings.train_dir / "run.json").write_text(json.dumps(facts))
    evaluate.run(EVALUATE, settings=settings)
    return promote.run(policy, settings=settings, packaged=version_0)


@pytest.fixture(scope="module")
def evaluation(make_template: Make) -> Settings:
    """A workspace whose model was evaluated."""
    settings = make_template()
    evaluate.run(EVALUATE, settings=settings)
    return settings


@pytest.fixture
def evaluated(evaluation: Settings, copy_of: Copy) -> Settings:
    return copy_of(evaluation)


@pytest.fixture(scope="module")
def promotion(make_template: Make, write_model: Write) -> Settings:
    """A workspace whose first model is champion."""
    settings = make_template()
    assert _train_and_promote(settings, write_model, slope=1.0, name="first").promoted
    return settings


@pytest.fixture
def promoted(promotion: Settings, copy_of: Copy) -> Settings:
    return copy_of(promotion)


def _ledger(settings: Settings) -> list[dict[str, Any]]:
    return read_entries(settings.work_dir / "promotions.jsonl")


def test_not_evaluated(make_workspace: Make) -> None:
    settings = make_workspace()
    with pytest.raises(DataError, match="'dvc repro evaluate'"):
        promote.run(POLICY, settings=settings)


@pytest.mark.slow
def test_evaluation_of_another_model(evaluated: Settings, write_model: Write) -> None:
    write_model(evaluated.artifacts_dir / "train", slope=2.0)
    with pytest.raises(DataError, match="about another model"):
        promote.run(POLICY, settings=evaluated)


def test_an_evaluation_of_which_a_file_is_missing(evaluated: Settings) -> None:
    (evaluated.artifacts_dir / "evaluate" / "MODEL_CARD.md").unlink()
    with pytest.raises(DataError, match=r"MODEL_CARD\.md: .*'dvc repro evaluate'"):
        promote.run(POLICY, settings=evaluated)


def test_test_split_has_changed(evaluated: Settings) -> None:
    path = evaluated.data_dir / "manifest.parquet"
    manifest = pd.read_parquet(path)
    manifest.loc[manifest.index[0], "split"] = "val"
    manifest.to_parquet(path)
    with pytest.raises(DataError, match="test split has changed"):
        promote.run(POLICY, settings=evaluated)


@pytest.mark.parametrize(
    ("column", "value"), [("label", "fake"), ("manipulation", "another"), ("group_id", "another")]
)
def test_the_truth_about_a_test_file_was_corrected(evaluated: Settings, column: str, value: str) -> None:
    path = evaluated.data_dir / "manifest.parquet"
    manifest = pd.read_parquet(path)
    real = manifest.index[(manifest["split"] == "test") & (manifest["label"] == "real")][0]
    manifest.loc[real, column] = value
    manifest.to_parquet(path)
    with pytest.raises(DataError, match="labels or source groups of test files were corrected since"):
        promote.run(POLICY, settings=evaluated)


@pytest.mark.parametrize("content", ["{}", "[]", "null", "{", '{"metrics": {}}'])
def test_an_evaluation_that_is_none(evaluated: Settings, content: str) -> None:
    (evaluated.artifacts_dir / "evaluate" / "metrics.json").write_text(content)
    with pytest.raises(DataError, match="'dvc repro evaluate'"):
        promote.run(POLICY, settings=evaluated)


@pytest.mark.slow
def test_first_model_is_compared_with_version_0(make_workspace: Make, write_model: Write) -> None:
    settings = make_workspace()
    first = _train_and_promote(settings, write_model, slope=1.0, name="first")
    assert first.promoted
    assert first.champion_before is None
    assert first.describe().startswith("PROMOTE: version 1 is champion now, version 0 before")
    assert first.decision is not None
    assert first.decision.difference is not None
    assert first.decision.difference.champion_auc < 0.5
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) == 1
    assert versions.get_alias(mlflow_store(settings), versions.CHALLENGER) is None
    folder = versions.fetch(mlflow_store(settings), 1)
    assert (folder / "reference.parquet").is_file()
    assert "## Training data and terms" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert versions.get_version(mlflow_store(settings), 1).tags["gate_outcome"] == "PROMOTE"


@pytest.mark.slow
def test_again_changes_nothing(promoted: Settings) -> None:
    again = promote.run(POLICY, settings=promoted)
    assert again.promoted
    assert again.describe() == "version 1 is champion already; nothing changed"
    assert len(_ledger(promoted)) == 1


@pytest.mark.parametrize("seen_failing", [False, True])
def test_what_a_lost_registry_cut_off_after_the_move_is_completed(
    promoted: Settings, *, seen_failing: bool
) -> None:
    (entry,) = _ledger(promoted)
    open_client(mlflow_store(promoted)).delete_model_version_tag(
        promoted.registered_model, "1", "gate_decision_id"
    )
    if seen_failing:
        path = promoted.work_dir / "promotions.jsonl"
        append_entry(path, {**entry, "promoted": False, "outcome": "HOLD", "reasons": ["it went away"]})
    again = promote.run(POLICY, settings=promoted)
    assert again.promoted
    assert again.test_set_uses == 1
    assert versions.get_version(mlflow_store(promoted), 1).tags["gate_decision_id"] == entry["decision_id"]
    version = versions.get_version(mlflow_store(promoted), 1)
    assert version.tags["gate_outcome"] == "PROMOTE"
    assert version.run_id is not None
    shown = open_client(mlflow_store(promoted)).get_run(version.run_id).data.tags["mlflow.note.content"]
    assert shown == version.description
    assert "gate: PROMOTE" in shown
    assert _ledger(promoted)[-1] == entry
    assert len(_ledger(promoted)) == (3 if seen_failing else 1)


def test_below_the_floor_is_rejected(make_workspace: Make, write_model: Write) -> None:
    settings = make_workspace()
    bad = _train_and_promote(settings, write_model, slope=-1.0, name="reversed")
    assert not bad.promoted
    assert bad.describe().startswith("REJECT: version 1 stays challenger, version 0 stays champion")
    assert "below the floor" in bad.describe()
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) is None
    assert versions.get_alias(mlflow_store(settings), versions.CHALLENGER) == 1


def test_worse_challenger_never_becomes_champion(promoted: Settings, write_model: Write) -> None:
    lenient = POLICY.model_copy(update={"min_auc": 0.0, "max_ece": 1.0})
    worse = _train_and_promote(promoted, write_model, slope=-1.0, name="worse", policy=lenient)
    assert not worse.promoted
    assert worse.decision is not None
    assert worse.decision.outcome == "REJECT"
    assert versions.get_alias(mlflow_store(promoted), versions.CHAMPION) == 1
    assert versions.get_alias(mlflow_store(promoted), versions.CHALLENGER) == 2
    assert [entry["outcome"] for entry in _ledger(promoted)] == ["PROMOTE", "REJECT"]
    assert _ledger(promoted)[1]["test_set_uses"] == 2


@pytest.mark.slow
def test_equal_challenger_needs_new_items(promoted: Settings, write_model: Write) -> None:
    same_items = _train_and_promote(promoted, write_model, slope=1.5, name="second")
    assert same_items.decision is not None
    assert (same_items.promoted, same_items.decision.outcome) == (False, "HOLD")
    new_items = _train_and_promote(promoted, write_model, slope=1.5, name="third", learned_until=LATER)
    assert (new_items.promoted, new_items.champion_before) == (True, 1)
    assert versions.get_alias(mlflow_store(promoted), versions.PREVIOUS) == 1


@pytest.mark.slow
def test_a_champion_that_does_not_say_what_it_learned_from_must_be_beaten(
    promoted: Settings, write_model: Write
) -> None:
    open_client(mlflow_store(promoted)).delete_model_version_tag(
        promoted.registered_model, "1", "trained_until"
    )
    equal = _train_and_promote(promoted, write_model, slope=1.5, name="second", learned_until=LATER)
    assert not equal.promoted


def test_version_and_run_say_what_was_decided(promoted: Settings) -> None:
    version = versions.get_version(mlflow_store(promoted), 1)
    entry = _ledger(promoted)[0]
    assert version.tags["gate_decision_id"] == entry["decision_id"]
    assert version.tags["gate_compared_with"] == "version 0"
    assert (version.tags["trained_until"], version.tags["train_items"]) == (EARLIER, "40")
    assert entry["decided_at"] in version.description
    assert {*LINEAGE, "model_sha256"} <= set(version.tags)
    client = open_client(mlflow_store(promoted))
    run = client.get_run(version.run_id)
    assert run.data.tags["registered_version"] == "1"
    assert [file.path for file in client.list_artifacts(version.run_id, "promote")] == [
        "promote/decision-version-1.json"
    ]


@pytest.mark.slow
def test_champion_of_other_crops_is_scored_on_its_own(make_workspace: Make, write_model: Write) -> None:
    """Items that are crops already are the same for every extraction; their files are read again."""
    import cv2
    import numpy as np

    settings = make_workspace()
    (settings.data_dir / "items").mkdir()
    for index in range(80):
        level = 150 if index % 2 else 106
        cv2.imwrite(str(settings.data_dir / "items" / f"{index}.png"), np.full((8, 8, 3), level, np.uint8))
    train = settings.artifacts_dir / "train"
    _train_and_promote(settings, write_model, slope=1.0, name="first")
    for path in (settings.artifacts_dir / "extract" / "summary.json", train / "spec.json"):
        content = json.loads(path.read_text())
        (content.get("spec") or content["extraction"])["crop_scale"] = 1.3
        path.write_text(json.dumps(content))
    spec = (train / "spec.json").read_text()
    write_model(train, slope=1.5, name="second")
    (train / "spec.json").write_text(spec)
    evaluate.run(EVALUATE, settings=settings)
    decision = promote.run(POLICY, settings=settings).decision
    assert decision is not None
    assert decision.difference is not None
    assert decision.difference.champion_auc == 1.0  # of the files, which are easier than the stored crops


def test_champion_moved_meanwhile(promoted: Settings) -> None:
    with pytest.raises(GateError, match=r"\b1\b.*\b7\b.*\b3\b"):
        champion.make_champion(mlflow_store(promoted), 7, expected=3)
    assert versions.get_alias(mlflow_store(promoted), versions.CHAMPION) == 1


class TestLedger:
    def test_missing(self, tmp_path: Path) -> None:
        assert read_entries(tmp_path / "no.jsonl") == []

    def test_appends(self, tmp_path: Path) -> None:
        for number in (1, 2):
            append_entry(tmp_path / "l.jsonl", {"n": number})
        assert read_entries(tmp_path / "l.jsonl") == [{"n": 1}, {"n": 2}]

    def test_line_cut_short_is_left_out(self, tmp_path: Path) -> None:
        append_entry(tmp_path / "l.jsonl", {"n": 1})
        with (tmp_path / "l.jsonl").open("a") as stream:
            stream.write('{"n": 2, "outc')
        assert read_entries(tmp_path / "l.jsonl") == [{"n": 1}]


@pytest.mark.slow
def test_with_manual_approval_a_person_makes_the_champion(make_workspace: Make, write_model: Write) -> None:
    settings = make_workspace()
    manual = POLICY.model_copy(update={"approval": "manual"})
    waits = _train_and_promote(settings, write_model, slope=1.0, name="first", policy=manual)
    assert waits.decision is not None
    assert (waits.promoted, waits.decision.outcome) == (False, "PROMOTE")
    assert "--approve" in waits.describe()
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) is None
    packaged = settings.work_dir / "version-0"
    assert promote.run(manual, settings=settings, approved=True, packaged=packaged).promoted
    assert versions.get_alias(mlflow_store(settings), versions.CHAMPION) == 1
    assert [entry["promoted"] for entry in _ledger(settings)] == [False, True]
