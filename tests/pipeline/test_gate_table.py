from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deepfakestream.pipeline.gate_table import gate_table
from deepfakestream.promotion.ledger import append_entry
from deepfakestream.settings import Settings

NOW = datetime(2026, 5, 4, 12, 30, 0, 500, tzinfo=UTC)
RULES = [
    {
        "name": "min_auc",
        "outcome": "PROMOTE",
        "text": "AUC 0.91 is at least 0.5",
        "value": 0.91,
        "bound": 0.5,
    },
    {
        "name": "auc_margin",
        "outcome": "HOLD",
        "text": "0.001 better; 0.01 is needed",
        "value": 0.001,
        "bound": 0.01,
    },
]


def decided(settings: Settings, version: int, at: datetime, **more: object) -> None:
    entry = {
        "decision_id": f"d{version}",
        "decided_at": at.isoformat(timespec="seconds"),
        "outcome": "HOLD",
        "promoted": False,
        "version": version,
        "champion_before": None,
        "rules": RULES,
        "run_id": f"r{version}",
    }
    append_entry(settings.work_dir / "promotions.jsonl", entry | more)


def test_the_newest_decision_is_a_table_with_links_over_http(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path, tracking_uri="http://mlflow.example:5000")
    decided(settings, 1, NOW - timedelta(days=1))
    decided(settings, 2, NOW)
    decided(settings, 1, NOW, action="rollback", rules=[])
    settings.train_dir.mkdir(parents=True)
    (settings.train_dir / "run.json").write_text(json.dumps({"run_id": "r2", "experiment": "7"}))
    found = gate_table(settings, since=NOW)
    assert found is not None
    assert found.summary == "HOLD: version 2 against version 0"
    assert found.rows == [
        {"rule": "min_auc", "says": "PROMOTE", "because": "AUC 0.91 is at least 0.5"},
        {"rule": "auc_margin", "says": "HOLD", "because": "0.001 better; 0.01 is needed"},
    ]
    assert {key: address.partition("#")[0] for key, (_, address) in found.links.items()} == {
        "model-version": "http://mlflow.example:5000/",
        "training-run": "http://mlflow.example:5000/",
    }
    assert found.links["training-run"][1].endswith("/experiments/7/runs/r2?workflowType=machine_learning")


def test_a_run_that_decided_nothing_shows_no_earlier_decision(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    assert gate_table(settings, since=NOW) is None
    decided(settings, 1, NOW - timedelta(minutes=1))
    assert gate_table(settings, since=NOW) is None


def test_a_decision_about_another_training_links_no_run(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    decided(settings, 1, NOW)
    found = gate_table(settings, since=NOW)
    assert found is not None
    assert set(found.links) == {"model-version"}
