from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from loop_state import give_label

from deepfakestream.errors import DataError
from deepfakestream.host.locks import in_turn
from deepfakestream.model.embedding import to_bytes
from deepfakestream.model.packaged import PACKAGED_VERSION, packaged_model_dir
from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring.alert_book import AlertBook
from deepfakestream.monitoring.governor import RetrainGovernor
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.monitoring.prediction_log import FEATURES, PredictionLog
from deepfakestream.pipeline.drift import MAX_SINGLE_ROWS, run, window_id
from deepfakestream.registry import versions
from deepfakestream.registry.champion import Champion
from deepfakestream.registry.tracking import start_run
from deepfakestream.scanning.result import ScanResult
from deepfakestream.settings import Settings
from deepfakestream.wiring import mlflow_store

PARAMS = DriftParams(window_size=60, min_window=30, num_threshold=0.2, share_threshold=0.4)
POINT = OperatingPoint(threshold=0.5, inconclusive_from=0.4, fpr=None, tpr=None, measured_on="nothing")


def scores(n: int, seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = {name: rng.normal(100.0, 10.0, n) for name in FEATURES}
    return pd.DataFrame({"p_fake": np.clip(rng.beta(2, 2, n) * (1 - shift) + shift, 0, 1), **table})


def append(settings: Settings, table: pd.DataFrame, *, version: str = "3", prefix: str = "p") -> None:
    log = PredictionLog(settings.prediction_database_url)
    for index, row in enumerate(table.to_dict("records")):
        p_fake, embedding = row.pop("p_fake"), row.pop("embedding", None)
        result = ScanResult(
            file="x", verdict="likely_real", p_fake=p_fake, interval=None, reasons=(), tracks=(),
            model=ModelInfo(name="m", version=version, weights_sha256="0"),
            operating_point="balanced", threshold=POINT, media=None, features=row,
            embedding=embedding,
        )  # fmt: skip
        log.append(result, prediction_id=f"{prefix}{index}", channel="http")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "ws")


@pytest.fixture
def champion(tmp_path: Path) -> Champion:
    directory = tmp_path / "model"
    directory.mkdir()
    scores(120, seed=0).to_parquet(directory / "reference.parquet")
    return Champion("3", directory)


def alerts(settings: Settings) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(settings.alerts_dir.glob("*.json"))]


def test_embeddings_are_compared_where_the_reference_has_them(settings, champion):
    def embedded(n: int, seed: int, shift: float) -> list[tuple[float, ...]]:
        return [tuple(row) for row in np.random.default_rng(seed).normal(shift, 1.0, (n, 8)).tolist()]

    append(settings, scores(120, seed=0)[:60].assign(embedding=embedded(60, 1, 2.0)))
    report = run(PARAMS, settings=settings, champion=champion)
    assert report.status == "ok"
    assert "no embeddings" in report.embedding.note
    for shift, status in ((2.0, "ok"), (0.0, "drift")):
        contents = [to_bytes(np.array(row)) for row in embedded(120, 2, shift)]
        reference = scores(120, seed=0).assign(embedding=contents, group=np.arange(120))
        reference.loc[::4, "embedding"] = None
        reference.to_parquet(champion.directory / "reference.parquet")
        report = run(PARAMS, settings=settings, champion=champion)
        assert (report.status, report.embedding.drifted) == (status, status == "drift")
        assert report.embedding.distance is not None
    # A window that may be so large that its embeddings are read apart from the rest.
    large = PARAMS.model_copy(update={"window_size": 10 * MAX_SINGLE_ROWS})
    again = run(large, settings=settings, champion=champion)
    assert (again.n_current, again.embedding) == (60, report.embedding)
    assert again.performance == report.performance


def test_performance_is_expected_and_measured_where_labels_are_known(settings, champion):
    append(settings, scores(40, seed=1))
    assert run(PARAMS, settings=settings, champion=champion).performance.measured == {}
    assert not (settings.work_dir / "jobs.db").exists()
    for number in range(12):
        give_label(settings, f"p{number}", "fake" if number % 3 else "real")
    give_label(settings, "of another version", "fake")
    append(settings, scores(1, seed=1), version="2", prefix="of another version")
    report = run(PARAMS, settings=settings, champion=champion)
    found = report.performance
    assert (found.num_expected, found.num_real, found.num_fake) == (40, 4, 8)
    assert {"auc", "accuracy", "tpr", "fpr"} <= set(found.expected)
    assert {"auc", "accuracy", "tpr", "fpr"} == set(found.measured)
    for text in (report.describe(), report.as_markdown(), report.html.read_text(encoding="utf-8")):
        assert "expected on 40" in text.lower()
        assert "4 genuine, 8 fake" in text


def test_a_check_counts_without_the_labels(settings, champion, caplog):
    append(settings, scores(40, seed=1))
    (settings.work_dir / "jobs.db").write_bytes(b"no database, but long enough to be looked at" * 40)
    report = run(PARAMS, settings=settings, champion=champion)
    assert report.status == "ok"
    assert report.performance.expected
    assert report.performance.measured == {}
    assert "true labels are not counted" in caplog.text


def test_an_empty_log_is_too_few(settings, champion):
    report = run(PARAMS, settings=settings, champion=champion)
    assert (report.status, report.n_current, report.window_id) == ("too_few", 0, "")
    assert (settings.artifacts_dir / "drift" / "drift.json").exists()


def test_checks_of_two_processes_take_turns(settings, champion):
    with ThreadPoolExecutor(1) as pool:
        with in_turn(settings.work_dir / "drift.lock"):
            second = pool.submit(run, PARAMS, settings=settings, champion=champion)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
            assert not (settings.artifacts_dir / "drift").exists()
        assert second.result(timeout=60).status == "too_few"


def test_predictions_of_another_version_are_not_looked_at(settings, champion):
    append(settings, scores(60, seed=1, shift=0.9), version="2")
    assert run(PARAMS, settings=settings, champion=champion).n_current == 0


def test_drift_is_reported_recorded_and_alerted_once(settings, champion):
    append(settings, scores(40, seed=1))
    assert run(PARAMS, settings=settings, champion=champion).status == "ok"
    assert alerts(settings) == []
    append(settings, scores(60, seed=2, shift=0.6), prefix="shifted")
    for _ in range(2):
        report = run(PARAMS, settings=settings, champion=champion)
        assert report.status == "drift"
        assert report.window_id == "shifted59"
    (alert,) = alerts(settings)
    assert (alert["kind"], alert["severity"]) == ("drift.confirmed", "ticket")
    assert alert["facts"]["columns"][0]["name"] == "p_fake"
    assert RetrainGovernor(settings.governor_db).last_window_id("3") == "shifted59"
    append(settings, scores(60, seed=3), prefix="normal")
    run(PARAMS, settings=settings, champion=champion)
    runs = list(settings.drift_history_dir.glob(f"{settings.drift_project_id}/snapshots/*.json"))
    assert len(runs) == 4
    assert alert["links"]["drift over time"] == settings.drift_page_url
    (kept,) = settings.alerts_dir.glob("*.html")
    assert alert["facts"]["html"] == str(kept.resolve())
    assert "<h1>Drift: drift</h1>" in kept.read_text(encoding="utf-8")


def test_a_history_that_cannot_be_written_stops_no_check(settings, champion, caplog):
    append(settings, scores(40, seed=1))
    settings.work_dir.mkdir(exist_ok=True)
    settings.drift_history_dir.write_text("a file where the folder should be")
    assert run(PARAMS, settings=settings, champion=champion).status == "ok"
    assert str(settings.drift_history_dir) in caplog.text
    assert RetrainGovernor(settings.governor_db).last_window_id("3") == "p39"


@pytest.mark.slow
def test_an_alert_of_a_check_that_ends_before_its_record_comes_once(settings, champion):
    append(settings, scores(60, seed=2, shift=0.6))
    RetrainGovernor(settings.governor_db)
    with closing(sqlite3.connect(settings.governor_db)) as connection:
        connection.execute(
            "CREATE TRIGGER cut BEFORE INSERT ON windows BEGIN SELECT RAISE(ABORT, 'cut'); END"
        )
        with pytest.raises(sqlite3.IntegrityError, match="cut"):
            run(PARAMS, settings=settings, champion=champion)
        assert len(alerts(settings)) == 1
        connection.execute("DROP TRIGGER cut")
    for _ in range(2):
        run(PARAMS, settings=settings, champion=champion)
    assert len(alerts(settings)) == 1


@pytest.mark.slow
def test_drift_is_over_after_two_windows_without_and_a_check_leaves_a_sign(settings, champion):
    append(settings, scores(60, seed=2, shift=0.6))
    assert run(PARAMS, settings=settings, champion=champion).status == "drift"
    found = []
    for number in range(3):
        append(settings, scores(60, seed=10 + number), prefix=f"calm{number}-")
        assert run(PARAMS, settings=settings, champion=champion).status == "ok"
        found.append([alert["state"] for alert in alerts(settings)])
    assert found == [["begins"], ["begins", "over"], ["begins", "over"]]
    sign = AlertBook(settings.alerts_db, directory=settings.alerts_dir).last_sign("drift")
    assert sign is not None
    assert sign.detail == "ok"


@pytest.mark.slow
def test_drift_of_a_former_champion_is_over(settings, champion):
    append(settings, scores(60, seed=2, shift=0.6))
    run(PARAMS, settings=settings, champion=champion)
    append(settings, scores(60, seed=3), version="4")
    run(PARAMS, settings=settings, champion=Champion("4", champion.directory))
    assert [alert["state"] for alert in alerts(settings)] == ["begins", "over"]


def test_a_page_does_not_outlive_its_finding(settings, champion):
    append(settings, scores(60, seed=1))
    assert run(PARAMS, settings=settings, champion=champion).html is not None
    lonely = Champion("4", champion.directory)
    assert run(PARAMS, settings=settings, champion=lonely).status == "too_few"
    assert [path.name for path in (settings.artifacts_dir / "drift").iterdir()] == ["drift.json"]


def test_a_folder_that_takes_no_page_breaks_no_check(settings, champion, caplog):
    append(settings, scores(60, seed=2, shift=0.6))
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    settings.alerts_dir.write_text("a file where the folder should be")
    assert run(PARAMS, settings=settings, champion=champion).status == "drift"
    assert "page of an alert not kept" in caplog.text


def test_columns_whose_values_went_missing_are_on_the_page(settings, champion):
    table = scores(60, seed=1).assign(luma=np.nan, sharpness=np.nan)
    append(settings, table)
    report = run(PARAMS, settings=settings, champion=champion)
    assert report.html is not None
    page = report.html.read_text(encoding="utf-8")
    assert "<tr><td>luma<td><td><td><b>drifted</b>" in page


def test_a_champion_without_reference_is_named(settings, tmp_path):
    with pytest.raises(DataError, match=r"reference\.parquet: missing or no drift reference"):
        run(PARAMS, settings=settings, champion=Champion("3", tmp_path))


def test_a_new_workspace_has_nothing_to_compare_and_no_failure(settings):
    append(settings, scores(60, seed=1), version=PACKAGED_VERSION)
    for _ in range(2):
        report = run(PARAMS, settings=settings)
        assert (report.status, report.n_current, report.n_reference) == ("no_champion", 60, 0)
    assert [path.name for path in (settings.artifacts_dir / "drift").iterdir()] == ["drift.json"]
    assert alerts(settings) == []
    assert RetrainGovernor(settings.governor_db).last_window_id(PACKAGED_VERSION) is None


@pytest.mark.parametrize(
    ("ids", "last", "expected"),
    [
        ([], None, ""),
        ([], "a", ""),
        (["a"], None, "a"),
        (["a", "b", "c"], "a", "c"),
        (["a", "b", "c"], "b", "b"),
        (["a", "b", "c"], "c", "c"),
        (["a", "b", "c"], "gone", "c"),
    ],
)
def test_a_window_is_another_one_once_enough_predictions_are_new(ids, last, expected):
    assert window_id(pd.DataFrame({"prediction_id": ids}), last, min_new=2) == expected


@pytest.mark.slow
def test_the_reference_is_the_one_registered_with_the_champion(settings, tmp_path):
    reference = tmp_path / "reference.parquet"
    scores(70, seed=0).to_parquet(reference)
    with start_run(mlflow_store(settings), name="train", tags={}) as tracked:
        run_id = tracked.run_id
    version = versions.register(
        mlflow_store(settings),
        run_id=run_id,
        model_dir=packaged_model_dir(),
        tags={},
        attachments={"reference.parquet": reference},
    )
    versions.set_alias(mlflow_store(settings), versions.CHAMPION, version)
    append(settings, scores(40, seed=1), version=str(version))
    report = run(PARAMS, settings=settings)
    assert (report.status, report.model_version, report.n_reference) == ("ok", str(version), 70)
