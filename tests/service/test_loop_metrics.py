from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from loop_state import NOW, VERSION, give_label, write_loop_state
from prometheus_client.parser import text_string_to_metric_families

from deepfakestream.jobs.tables import open_job_store
from deepfakestream.service.loop_metrics import LABELS_EVERY_S, LoopMetrics
from deepfakestream.settings import Settings


def numbers(metrics: LoopMetrics) -> dict[tuple[str, ...], float]:
    """Value by name (without the common prefix) and label values, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name.removeprefix("deepfakestream_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_new_workspace_has_no_numbers_and_gets_no_files(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    database = open_job_store(f"sqlite:///{tmp_path}/jobs.db")
    assert numbers(LoopMetrics(settings, lambda: database)) == {}
    assert not settings.work_dir.exists()
    database.close()


def test_the_state_of_the_loop_is_read_at_each_scrape(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    seconds = 0.0
    write_loop_state(settings)
    database = open_job_store(settings.job_database_url)
    metrics = LoopMetrics(settings, lambda: database, clock=lambda: seconds)
    assert numbers(metrics) == {
        ("drift_status", "ok", VERSION): 0.0,
        ("drift_status", "drift", VERSION): 1.0,
        ("drift_status", "too_few", VERSION): 0.0,
        ("drift_status", "no_champion", VERSION): 0.0,
        ("drift_share", VERSION): 0.5,
        ("drifted_columns", VERSION): 1.0,
        ("drift_psi", "luma", VERSION): 0.9,
        ("drift_psi", "fps", VERSION): 0.1,
        ("drift_psi_threshold", "luma", VERSION): 0.3,
        ("drift_psi_threshold", "fps", VERSION): 0.2,
        ("drift_embedding_distance", VERSION): 0.5,
        ("drift_embedding_threshold", VERSION): 0.4,
        ("performance", "expected", "value", "auc", VERSION): 0.9,
        ("performance", "expected", "low", "auc", VERSION): 0.8,
        ("performance", "expected", "high", "auc", VERSION): 0.95,
        ("performance", "measured", "value", "tpr", VERSION): 0.5,
        ("drift_check_timestamp_seconds",): NOW.timestamp(),
        ("retraining_timestamp_seconds", "running"): 0.0,
        ("retraining_timestamp_seconds", "promoted"): (NOW - timedelta(days=9)).timestamp(),
        ("retraining_timestamp_seconds", "held"): 0.0,
        ("retraining_timestamp_seconds", "failed"): (NOW - timedelta(days=2)).timestamp(),
        ("retrainings_refused",): 2.0,
        ("labelled_predictions", "fake", "likely_real", VERSION): 20.0,
        ("labelled_predictions", "fake", "likely_fake", VERSION): 10.0,
        ("labelled_predictions", "real", "likely_fake", VERSION): 8.0,
        ("labelled_predictions", "real", "likely_real", VERSION): 12.0,
    }
    give_label(settings, "disputed-no-more", "real")
    give_label(settings, "fake-likely_fake-0", "real", source="another")
    caught = ("labelled_predictions", "fake", "likely_fake", VERSION)
    assert numbers(metrics)[caught] == 10.0
    seconds = LABELS_EVERY_S
    assert numbers(metrics)[caught] == 9.0
    database.close()


def test_a_source_that_is_damaged_takes_only_its_own_numbers_away(tmp_path: Path, caplog) -> None:
    settings = Settings(workspace=tmp_path)
    write_loop_state(settings)
    settings.drift_report_file.write_text("{", encoding="utf-8")
    database = open_job_store(settings.job_database_url)
    found = {name for name, *_ in numbers(LoopMetrics(settings, lambda: database))}
    assert "drift_status" not in found
    assert {"retrainings_refused", "labelled_predictions", "drift_check_timestamp_seconds"} <= found
    assert "one part cannot be read" in caplog.text
    database.close()
