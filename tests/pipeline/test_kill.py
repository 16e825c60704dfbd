"""Killed at any moment, ingestion and extraction lose nothing and count nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfakestream.data.manifest import read_manifest, read_manifest_or_empty
from deepfakestream.pipeline import workspace
from deepfakestream.settings import Settings

NUM_CROPS = 1200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    rows = ["file,label,kind"]
    for number in range(NUM_CROPS):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'fake' if number % 2 else 'real'},crop")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    # A session of its own, so that the kill takes the worker processes too.
    command = [sys.executable, "-m", "deepfakestream.cli", *arguments]
    return subprocess.Popen(
        command, cwd=root, start_new_session=True, env={**os.environ, "SOURCE_DATE_EPOCH": "0"}
    )


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool], delay_s: float) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and not ready() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay_s)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(root: Path, *arguments: str) -> None:
    assert start(root, *arguments).wait(timeout=240) == 0


def test_ingest_and_extract_survive_kills(source: Path, tmp_path: Path) -> None:
    draw = random.Random(7)
    calm, hunted = (workspace.create(tmp_path / name).directory for name in ("calm", "hunted"))
    finish(calm, "ingest", str(source))
    finish(calm, "extract")

    data = hunted / "data"
    for num_files in (1, 300, 1100):
        process = start(hunted, "ingest", str(source))
        kill_when(process, lambda n=num_files: len(list(data.glob("media/*/*"))) >= n, draw.uniform(0, 0.3))
        present = read_manifest_or_empty(data)
        assert all((data / path).is_file() for path in present["path"])
    finish(hunted, "ingest", str(source))
    assert not list(data.rglob("*.partial"))
    assert read_manifest(data)["media_id"].tolist() == read_manifest(calm / "data")["media_id"].tolist()

    store = Settings(workspace=hunted).face_store_dir
    for num_batches in (1, 4, 8):
        process = start(hunted, "extract")
        kill_when(process, lambda n=num_batches: len(list(store.rglob("*.arrow"))) >= n, draw.uniform(0, 0.2))
    assert list(store.rglob("*.arrow"))
    finish(hunted, "extract")
    ours, theirs = (root / "artifacts" / "extract" for root in (hunted, calm))
    names = sorted(path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file())
    assert len(names) >= 4
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
