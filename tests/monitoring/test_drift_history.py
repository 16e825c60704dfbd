from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pandas as pd
import pytest

from deepfakestream.monitoring.drift_history import MAX_RUNS, DriftHistory
from deepfakestream.monitoring.drift_psi import psi
from deepfakestream.monitoring.drift_report import ColumnDrift, DriftReport
from deepfakestream.monitoring.embedding_drift import EmbeddingDrift

PROJECT = UUID("5f0f4bd0-2f43-5f41-8f0c-3f6ad9e8a001")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def table(n: int, *, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "p_fake": np.clip(rng.beta(2, 2, n) + shift, 0, 1),
            "luma": rng.normal(100, 10, n),
            "fps": np.where(rng.random(n) < 0.5, 25.0, 30.0),
            "verdict": np.where(np.arange(n) % 4 == 0, "likely_fake", "likely_real"),
        }
    )


def report(current: pd.DataFrame, reference: pd.DataFrame, *, drifted: tuple[str, ...]) -> DriftReport:
    """A check that found what is given: `sharpness` has drifted because its values are missing."""
    columns = [
        ColumnDrift(
            name=name, kind="numerical", drifted=name in drifted, threshold=0.2,
            value=psi(current[name], reference[name], kind="numerical"),
        )
        for name in ("p_fake", "luma", "fps")
    ]  # fmt: skip
    missing = ColumnDrift(name="sharpness", kind="numerical", drifted=True, note="values are missing")
    left_out = ColumnDrift(name="num_faces", kind="numerical", drifted=False, note="not compared")
    return DriftReport(
        status="drift", model_version="7", n_current=len(current), n_reference=len(reference),
        share=(len(drifted) + 1) / 4, columns=(*columns, missing, left_out), reason="2 of 4 columns drifted",
        embedding=EmbeddingDrift(drifted=True, distance=0.6, threshold=0.4, p_value=0.001),
    )  # fmt: skip


def history(directory: Path) -> DriftHistory:
    return DriftHistory(directory, PROJECT, "detector")


def record(directory: Path, number: int, *, max_runs: int = MAX_RUNS) -> DriftReport:
    current, reference = table(60, shift=0.2, seed=number), table(90, seed=99).drop(columns="verdict")
    found = report(current, reference, drifted=("p_fake",))
    at = NOON + timedelta(hours=number)
    history(directory).record(found, current, reference, checked_at=at, max_runs=max_runs)
    return found


def snapshots(directory: Path) -> list[Path]:
    return sorted((directory / str(PROJECT) / "snapshots").glob("*.json"))


def ask(pages: Any, method: str, path: str, **more: object) -> httpx.Response:
    """Ask Evidently's pages."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(pages)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **more)  # type: ignore[arg-type]

    return asyncio.run(send())


def series(pages: Any, metric: str) -> dict[str, list[float]]:
    """Values over time that the dashboard draws, by label."""
    query = {
        "series_filter": [
            {"tags": [], "metadata": {}, "metric": f"evidently:metric_v2:{metric}", "metric_labels": {}}
        ]
    }
    answer = ask(pages, "POST", f"/api/v2/snapshots/{PROJECT}/data_series_batch", json=query)
    found = answer.raise_for_status().json()["series"]
    return {
        each["params"].get("column") or each["params"].get("value_type", ""): each["values"] for each in found
    }


def test_the_dashboard_draws_what_the_checks_found(tmp_path: Path) -> None:
    found = [record(tmp_path, number) for number in range(2)]
    # Missing values are drift that Evidently's own count would not know; what was not compared is no column.
    pages = history(tmp_path).pages()
    assert series(pages, "DriftedColumns") == {"count": [2.0, 2.0], "share": [0.5, 0.5]}
    assert series(pages, "FakeVerdicts") == {"count": [15.0, 15.0], "share": [0.25, 0.25]}
    (means,) = series(pages, "MeanScore").values()
    assert means == [pytest.approx(table(60, shift=0.2, seed=seed)["p_fake"].mean()) for seed in range(2)]
    assert series(pages, "ColumnPsi") == {
        name: [each.columns[index].value for each in found]
        for index, name in enumerate(("p_fake", "luma", "fps"))
    }
    assert series(pages, "EmbeddingDistance") == {"": [pytest.approx(1.5)] * 2}
    panels = ask(pages, "GET", f"/api/v2/dashboards/{PROJECT}").raise_for_status().json()["panels"]
    asked = {value["metric"].rpartition(":")[2] for panel in panels for value in panel["values"]}
    assert asked == {"DriftedColumns", "FakeVerdicts", "MeanScore", "ColumnPsi", "EmbeddingDistance"}


def test_a_run_tells_its_outcome_and_draws_the_bins_of_each_psi(tmp_path: Path) -> None:
    record(tmp_path, 0)
    pages = history(tmp_path).pages()
    (listed,) = ask(pages, "GET", f"/api/projects/{PROJECT}/reports").raise_for_status().json()
    assert (listed["name"], listed["tags"]) == ("drift: 2 of 4 columns drifted", ["drift"])
    assert listed["metadata"] == {"model version": "7", "predictions": "60"}
    assert datetime.fromisoformat(listed["timestamp"]) == NOON
    (path,) = snapshots(tmp_path)
    drawn = [each for each in json.loads(path.read_text())["widgets"] if each["type"] == "big_graph"]
    titles = [each["title"] for each in drawn]
    assert titles[0].startswith("p_fake: PSI ")
    assert titles[0].endswith(", threshold 0.20, drifted")
    rates = drawn[2]["params"]["data"]
    assert [bars["x"] for bars in rates] == [["25", "30"]] * 2
    assert sum(rates[1]["y"]) == pytest.approx(1.0, abs=1e-3)
    assert path.stat().st_size < 60_000


def test_the_oldest_runs_are_removed(tmp_path: Path) -> None:
    kept: list[list[str]] = []
    for number in range(4):
        record(tmp_path, number, max_runs=3)
        kept.append([path.name for path in snapshots(tmp_path)])
    assert [len(names) for names in kept] == [1, 2, 3, 3]
    assert kept[3][:2] == kept[2][1:]


def test_a_check_that_judged_nothing_is_no_run(tmp_path: Path) -> None:
    current = table(60)
    found = report(current, current, drifted=()).model_copy(update={"columns": ()})
    history(tmp_path).record(found, current, current, checked_at=NOON)
    assert list(tmp_path.iterdir()) == []


def test_a_window_without_any_score_is_a_run_without_a_mean(tmp_path: Path) -> None:
    current, reference = table(60), table(90, seed=1).drop(columns="verdict")
    found = report(current, reference, drifted=())
    columns = tuple(column for column in found.columns if column.name != "p_fake")
    current["p_fake"] = np.nan
    found = found.model_copy(update={"columns": columns})
    history(tmp_path).record(found, current, reference, checked_at=NOON)
    pages = history(tmp_path).pages()
    assert series(pages, "MeanScore") == {}
    assert set(series(pages, "ColumnPsi")) == {"luma", "fps"}


def test_a_check_that_found_only_missing_values_is_a_run(tmp_path: Path) -> None:
    current, reference = table(60), table(90, seed=1).drop(columns="verdict")
    found = report(current, reference, drifted=())
    current["p_fake"] = np.nan
    found = found.model_copy(update={"columns": found.columns[-2:]})
    history(tmp_path).record(found, current, reference, checked_at=NOON)
    pages = history(tmp_path).pages()
    assert series(pages, "DriftedColumns") == {"count": [1.0], "share": [1.0]}


def test_the_pages_start_after_a_kill_in_the_middle_of_a_run(tmp_path: Path) -> None:
    record(tmp_path, 0)
    record(tmp_path, 1)
    damaged, whole = snapshots(tmp_path)
    damaged.write_bytes(damaged.read_bytes()[:2000])
    pages = history(tmp_path).pages()
    assert len(series(pages, "DriftedColumns")["count"]) == 1
    assert snapshots(tmp_path) == [whole]


def test_the_pages_of_a_new_workspace_have_the_project_and_change_nothing(tmp_path: Path) -> None:
    pages = history(tmp_path).pages()
    (project,) = ask(pages, "GET", "/api/projects").raise_for_status().json()
    assert (project["id"], project["name"]) == (str(PROJECT), "detector")
    assert ask(pages, "DELETE", f"/api/projects/{PROJECT}").status_code == 403
    assert ask(pages, "POST", "/api/v2/projects", json={"name": "x"}).status_code == 403
    assert (tmp_path / str(PROJECT) / "metadata.json").exists()
