"""The service under load: saturation, five times too much, and memory over time.

`BENCH_SECONDS=20 BENCH_MINUTES=30 python -m pytest tests/bench/test_service_load.py -m bench -s`

Ratios of one run: what is compared takes turns. `BENCH_DETECTOR=accurate` takes the detector with the tower,
where it was fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from real_service import RealService, cpu_s, free_port

from deepfakestream.media.isolated import IsolatedDecoding
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.scanning.engine import ScanEngine
from deepfakestream.service.engines import engine_factory
from deepfakestream.settings import Settings

pytestmark = [pytest.mark.bench, pytest.mark.timeout(4 * 3600)]
LOAD = Path(__file__).with_name("http_load.py")
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
MINUTES = float(os.environ.get("BENCH_MINUTES", "30"))
DETECTOR = os.environ.get("BENCH_DETECTOR", "fast")
ROUNDS = 3
PAIRS = 8
CLIENTS = (2, 4, 8)
OVERLOAD = 5
SOAK_CLIENTS = 4
NUM_ROWS = 10
SERVED = f"service, {2 * len(os.sched_getaffinity(0))} clients"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Load:
    """What came of a load."""

    answers: Counter[int]
    good_s: list[float]
    """Seconds of the answers with a verdict, sorted."""
    cpu_s: float
    seconds: float

    @property
    def rate(self) -> float:
        """Verdicts a second."""
        return len(self.good_s) / self.seconds

    @property
    def cpu_each_s(self) -> float:
        """Processor time a verdict, of those that came after the end, too."""
        return self.cpu_s / max(1, self.answers[200])

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.good_s, share)) if self.good_s else float("nan")

    def row(self, name: str) -> str:
        return (
            f"{name:>22} {self.rate:9.2f} {self.quantile(0.5):8.2f} {self.quantile(0.99):8.2f} "
            f"{self.answers[503]:7d} {1000 * self.cpu_each_s:12.0f}"
        )


HEAD = f"{'':>22} {'images/s':>9} {'p50 s':>8} {'p99 s':>8} {'refused':>7} {'CPU ms each':>12}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealService]:
    folder = tmp_path_factory.mktemp("service")
    shutil.copy("params.yaml", folder / "params.yaml")
    made = RealService(folder, free_port(), {"DEEPFAKESTREAM_DETECTOR": DETECTOR})
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, ScanEngine]]:
    """The service's engine, by where it reads files: in its own process, or in others as the service."""
    settings = Settings.model_validate({"detector": DETECTOR, "device": "cpu"})
    decoding = IsolatedDecoding(memory_mb=settings.decoder_memory_mb)
    yield {
        name: engine_factory(settings, MediaBudget(), "balanced", one)(packaged_model_dir(), "0")
        for name, one in (("engine", None), ("engine, isolated", decoding))
    }
    decoding.stop()


def load(service: RealService, path: Path, num_clients: int, seconds: float = SECONDS) -> Load:
    """Send an image from so many clients at once."""
    before_s = service.cpu_s()
    command = [
        sys.executable,
        str(LOAD),
        f"{service.url}/v1/images",
        str(path),
        str(num_clients),
        str(seconds),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    statuses = Counter(status for status, _, _ in answers)
    assert set(statuses) <= {200, 503}, statuses
    assert statuses[200], "no image was answered"
    good_s = sorted(took_s for status, took_s, in_time in answers if status == 200 and in_time)
    return Load(statuses, good_s, service.cpu_s() - before_s, seconds)


def in_process(engine: ScanEngine, path: Path) -> Load:
    """Scan the image in this process, in as many threads as the service has."""
    end = time.monotonic() + SECONDS
    before_s = cpu_s(os.getpid())

    def scan() -> list[float]:
        times_s = []
        while time.monotonic() < end:
            began_at = time.monotonic()
            assert engine.scan(path, kind="image").p_fake is not None
            times_s.append(time.monotonic() - began_at)
        return times_s

    with ThreadPoolExecutor(CORES) as pool:
        good_s = sorted(
            second for each in [pool.submit(scan) for _ in range(CORES)] for second in each.result()
        )
    return Load(Counter({200: len(good_s)}), good_s, cpu_s(os.getpid()) - before_s, SECONDS)


def share_text(served: list[Load], alone: list[Load], name: str) -> str:
    """What the service reaches of an engine's throughput, and of what its processor time allows."""
    rates = [there.rate / here.rate for there, here in zip(served, alone, strict=True)]
    costs = [here.cpu_each_s / there.cpu_each_s for there, here in zip(served, alone, strict=True)]
    return (
        f"service over {name}: images a second {statistics.median(rates):.2f} ({min(rates):.2f} to "
        f"{max(rates):.2f}), by processor time {statistics.median(costs):.2f}"
    )


def say(*lines: str) -> None:
    sys.stdout.write("\n".join(("", *lines)) + "\n")
    sys.stdout.flush()


def test_saturation_and_overload(
    service: RealService, engines: dict[str, ScanEngine], astronaut_jpg: Path
) -> None:
    load(service, astronaut_jpg, 2, 5.0)
    measured: dict[str, list[Load]] = {name: [] for name in (*engines, SERVED)}
    for engine in engines.values():
        engine.scan(astronaut_jpg, kind="image")
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            measured[name].append(in_process(engine, astronaut_jpg))
        measured[SERVED].append(load(service, astronaut_jpg, 2 * CORES))
    say(
        f"Saturation: {CORES} cores, {ROUNDS} rounds of {SECONDS:g} s, a JPEG of 512 x 512 with one face",
        HEAD,
        *(each.row(f"{name} {number}") for name in measured for number, each in enumerate(measured[name], 1)),
        *(share_text(measured[SERVED], measured[name], name) for name in engines),
    )


def test_overload(service: RealService, astronaut_jpg: Path) -> None:
    """The best number of clients and five times the most take turns: else the figures show what else ran."""
    load(service, astronaut_jpg, 2, 5.0)
    by_clients = {number: load(service, astronaut_jpg, number) for number in CLIENTS}
    best = max(by_clients, key=lambda number: by_clients[number].rate)
    most = OVERLOAD * max(CLIENTS)
    peaks, floods = list[Load](), list[Load]()
    for _ in range(PAIRS):
        peaks.append(load(service, astronaut_jpg, best, SECONDS / 2))
        floods.append(load(service, astronaut_jpg, most, SECONDS / 2))
    ratios = [flood.rate / peak.rate for flood, peak in zip(floods, peaks, strict=True)]
    costs = [peak.cpu_each_s / flood.cpu_each_s for flood, peak in zip(floods, peaks, strict=True)]
    statuses = sum((each.answers for each in floods), Counter[int]())
    late_s, late_before_s = (
        statistics.median(each.quantile(0.99) for each in loads) for loads in (floods, peaks)
    )
    say(
        f"Overload: {OVERLOAD} times the {max(CLIENTS)} places for images in work, {PAIRS} turns",
        HEAD,
        *(each.row(f"{number} clients") for number, each in by_clients.items()),
        *(each.row(f"{best} clients {number}") for number, each in enumerate(peaks, 1)),
        *(each.row(f"{most} clients {number}") for number, each in enumerate(floods, 1)),
        f"goodput at {OVERLOAD} times over its peak: {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f}), by processor time {statistics.median(costs):.2f}; statuses {dict(statuses)}",
        f"p99 of accepted {late_s:.2f} s, {late_s / late_before_s:.2f} times that of {best} clients",
    )
    assert statuses[503], "nothing was refused: this was no overload"
    assert statistics.median(ratios) > 0.5


def test_memory_over_time(service: RealService, astronaut_jpg: Path, face_clip: Path) -> None:
    with face_clip.open("rb") as file:
        httpx.post(f"{service.url}/v1/videos", files={"file": file}, timeout=300).raise_for_status()
    load(service, astronaut_jpg, SOAK_CLIENTS, min(60.0, 6 * MINUTES))  # so that all is loaded and warm
    rows: list[tuple[float, int, int, int, int]] = []
    total = Counter[int]()
    for number in range(NUM_ROWS + 1):
        processes = service.processes()
        descriptors = sum(each.num_fds() for each in processes)
        rows.append(
            (number * MINUTES / NUM_ROWS, service.memory_bytes(), len(processes), descriptors, total[200])
        )
        if number < NUM_ROWS:
            total += load(service, astronaut_jpg, SOAK_CLIENTS, 60 * MINUTES / NUM_ROWS).answers
            with face_clip.open("rb") as file:
                httpx.post(f"{service.url}/v1/videos", files={"file": file}, timeout=300).raise_for_status()
    early, late = (statistics.median(row[1] for row in part) for part in (rows[:3], rows[-3:]))
    say(
        f"Memory over {MINUTES:g} minutes: {SOAK_CLIENTS} clients with images, a video before each row",
        f"{'minute':>8} {'MB':>8} {'processes':>10} {'descriptors':>12} {'images':>8}",
        *(f"{row[0]:8.1f} {row[1] / 1e6:8.0f} {row[2]:10d} {row[3]:12d} {row[4]:8d}" for row in rows),
        f"last three rows over the first three: {late / early:.3f}",
    )
    assert late < 1.25 * early
