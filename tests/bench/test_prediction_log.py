"""The prediction log with millions of rows: what each of its uses takes. BENCH_LOG_ROWS sets their number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from deepfakestream.model.scorer import ModelInfo
from deepfakestream.model.spec import OperatingPoint
from deepfakestream.monitoring.prediction_export import export
from deepfakestream.monitoring.prediction_log import FEATURES, PredictionLog
from deepfakestream.scanning.features import FEATURE_NAMES
from deepfakestream.scanning.result import ScanResult
from deepfakestream.settings import Settings

NUM_ROWS = int(os.environ.get("BENCH_LOG_ROWS", "10000000"))
NUM_CHECKED = NUM_ROWS // 10
AT_ONCE = 1_000_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RESULT = ScanResult(
    file="x", verdict="likely_real", p_fake=0.1, interval=None, reasons=(), tracks=(), media=None,
    model=ModelInfo(name="detector", version="3", weights_sha256="ab" * 32), operating_point="balanced",
    features=dict.fromkeys(FEATURES, 1.0),
    threshold=OperatingPoint(threshold=0.6, inconclusive_from=0.4, fpr=0.05, tpr=0.8, measured_on="val"),
)  # fmt: skip
CHECK = """
import json, re, sys, time
from pathlib import Path
from deepfakestream.monitoring.params import DriftParams
from deepfakestream.pipeline.drift import run
from deepfakestream.registry.champion import Champion
from deepfakestream.settings import Settings
begin = time.perf_counter()
report = run(
    DriftParams(window_size=int(sys.argv[1])), settings=Settings(), champion=Champion("3", Path(sys.argv[2]))
)
print(json.dumps({
    "status": report.status, "n": report.n_current, "seconds": time.perf_counter() - begin,
    "cpu_s": time.process_time(),
    # getrusage would tell the peak of the process that started this one.
    "peak_mb": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


def fill(log: PredictionLog, n: int) -> None:
    """Add rows, a second apart: 90 % of one client, the others of twenty; the last 90 % of version 3.

    The database makes them: ten times as fast as rows from Python.
    """
    values = {
        "prediction_id": "'an_' || lower(hex(randomblob(16)))",
        "created_at": f"{BEGIN.timestamp()} + i",
        "channel": "'http'",
        "client": "CASE WHEN random() % 10 = 0 THEN 'key' || abs(random() % 20) ELSE 'loud' END",
        "media_sha256": "lower(hex(randomblob(32)))",
        "kind": "'image'",
        "verdict": "'likely_real'",
        "reasons": "'[]'",
        "operating_point": "'balanced'",
        "threshold": "0.6",
        "model_name": "'detector'",
        "model_version": f"CASE WHEN i < {n // 10} THEN '2' ELSE '3' END",
        "weights_sha256": f"'{'ab' * 32}'",
        **dict.fromkeys(("p_fake", *FEATURE_NAMES), "random() / 18446744073709551616.0 + 0.5"),
    }
    for start in range(0, n, AT_ONCE):
        numbers = f"SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {min(start + AT_ONCE, n)}"
        with log._database.writing() as connection:
            connection.exec_driver_sql("PRAGMA cache_size = -1000000")
            connection.exec_driver_sql(
                f"INSERT INTO predictions ({', '.join(values)}) WITH RECURSIVE n (i) AS ({numbers}) "
                f"SELECT {', '.join(values.values())} FROM n"
            )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def append(log: PredictionLog) -> None:
    log.append(RESULT, prediction_id=f"an_{uuid4().hex}", channel="http", client="key1")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    settings = Settings(workspace=tmp_path)
    with PredictionLog(settings.prediction_database_url) as log:
        yield log
    for path in settings.work_dir.glob("predictions.db*"):
        path.unlink()


def drift_check(tmp_path: Path, window: int) -> dict[str, float]:
    """Run a check in a process of its own; returns its status, seconds and peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(window), str(tmp_path)],
        env={**os.environ, "DEEPFAKESTREAM_WORKSPACE": str(tmp_path)},
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.bench
def test_a_log_of_millions_of_rows(log: PredictionLog, tmp_path: Path) -> None:
    few = seconds(lambda: append(log), 200)
    taken = seconds(lambda: fill(log, NUM_ROWS))
    # Opened again, as a process has it that did not write so much.
    log.close()
    size = sum(path.stat().st_size for path in (tmp_path / "work").glob("predictions.db*"))
    say(f"\n{NUM_ROWS:,} rows in bulk: {NUM_ROWS / taken:,.0f} rows/s; {size / NUM_ROWS:.0f} bytes a row")
    many = seconds(lambda: append(log), 200)
    say(f"append: {1 / few:.0f}/s to an empty log, {1 / many:.0f}/s to this one, ratio {few / many:.2f}")
    for share in (1.0, 0.5):
        found = seconds(lambda share=share: log.newest(200, model_version="3", max_client_share=share), 5)
        say(f"window of 200, a client has at most {share:.0%}: {1000 * found:.1f} ms")
    ids = list(log.newest(NUM_CHECKED, columns=["prediction_id"])["prediction_id"])
    some = np.random.default_rng(1).choice(ids, 1000)
    say(f"look-up by id: {1e6 * seconds(lambda: [log.find(each) for each in some]) / len(some):.0f} us")
    say(f"verdicts of 1,000 ids: {1000 * seconds(lambda: log.verdicts(some.tolist())):.0f} ms")
    until = datetime.now(UTC)
    since = BEGIN + timedelta(seconds=NUM_ROWS - NUM_CHECKED)
    out = tmp_path / "out.parquet"
    exported = seconds(lambda: export(log, out, since=since, until=until))
    say(f"export: {NUM_CHECKED / exported:,.0f} rows/s, {out.stat().st_size / NUM_CHECKED:.0f} bytes a row")

    rng = np.random.default_rng(2)
    reference = pd.DataFrame({name: rng.random(2000) for name in ("p_fake", *FEATURE_NAMES)})
    reference.to_parquet(tmp_path / "reference.parquet")
    small = drift_check(tmp_path, 200)
    large = drift_check(tmp_path, NUM_CHECKED)
    for found in (small, large):
        say(
            f"drift check of {found['n']:,} rows: {found['seconds']:.1f} s, {found['cpu_s']:.1f} s of "
            f"processor time, peak {found['peak_mb']:.0f} MB"
        )
    assert large["n"] == NUM_CHECKED

    parts, removed, kept_from = [], [], BEGIN + timedelta(seconds=NUM_CHECKED)
    begin = time.perf_counter()
    while time.perf_counter() - begin < 30.0 and removed[-1:] != [0]:
        parts.append(seconds(lambda: removed.append(log.remove_before(kept_from))))
    say(
        f"retention: {sum(removed):,} rows in {len(parts)} parts, {sum(removed) / sum(parts):,.0f} rows/s; "
        f"a part takes {1000 * float(np.median(parts)):.0f} ms (median), {1000 * max(parts):.0f} ms at most"
    )
