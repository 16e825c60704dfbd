"""Extraction is killed at random points, many times: no finished item is lost, none is counted twice."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from deepfakestream.data.quarantine import Quarantine
from deepfakestream.params import load_params
from deepfakestream.pipeline import ingest
from deepfakestream.settings import Settings

NUM_PICTURES = 60
NUM_CROPS = 40
INGEST = load_params(Path(__file__).parents[2] / "params.yaml").ingest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of which a few are too dark to show a face, and face crops."""
    folder = tmp_path_factory.mktemp("set")
    rows = ["file,label,kind"]
    for number in range(NUM_PICTURES + NUM_CROPS):
        rng = np.random.default_rng(number)
        top = 40 if number % 9 == 0 else 256
        Image.fromarray(rng.integers(0, top, (48, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        kind = "crop" if number >= NUM_PICTURES else ""
        rows.append(f"{number}.png,{'fake' if number % 2 else 'real'},{kind}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


class Hunt:
    """One workspace whose extraction is started, killed and started again."""

    def __init__(self, root: Path, source: Path, executor: str) -> None:
        self.root = root
        self.notes = root / "notes.txt"
        self._executor = executor
        root.mkdir()
        self.notes.touch()
        settings = Settings(workspace=root, device="cpu")
        ingest.run(source, params=INGEST, settings=settings, request=ingest.IngestRequest())

    def start(self) -> Any:
        from hunted_extraction import extract_as_leader

        # Forked from a server that has the imports but no threads: a start takes no time.
        context = get_context("forkserver")
        context.set_forkserver_preload(["deepfakestream.pipeline.extract"])
        process = context.Process(target=extract_as_leader, args=(self.root, self.notes, self._executor))
        process.start()
        return process

    def shown(self) -> Counter[str]:
        """How often the detector was shown each picture."""
        return Counter(self.notes.read_text().split())

    def stored(self) -> set[str]:
        """The items in the store, read without the store's own code."""
        found: set[str] = set()
        for path in (self.root / "work" / "facestore").glob("media-*/*/*.arrow"):
            with pa.memory_map(str(path)) as mapped:
                items = json.loads(pa.ipc.open_file(mapped).schema.metadata[b"items"])
            assert not found & items.keys(), "an item lies in the store once"
            found |= items.keys()
        return found

    def output(self) -> dict[str, bytes]:
        folder = self.root / "artifacts" / "extract"
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def finish(self) -> dict[str, bytes]:
        process = self.start()
        process.join(120)
        assert process.exitcode == 0
        assert not list(self.root.rglob("*.partial"))
        return self.output()

    def refused(self) -> list[tuple[str, str]]:
        entries = Quarantine(self.root / "work" / "quarantine.db").list()
        return sorted((entry.refusal.original_name, entry.refusal.reason) for entry in entries)


@pytest.fixture(scope="module")
def helper_on_path() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(Path(__file__).parent))
    patch.setenv("SOURCE_DATE_EPOCH", "0")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, source: Path, helper_on_path: None) -> Hunt:
    """The same set, extracted without a kill."""
    calm = Hunt(tmp_path_factory.mktemp("calm") / "workspace", source, "inline")
    assert len(calm.finish()) > 10
    assert sum(calm.shown().values()) == NUM_PICTURES
    return calm


def kill_somewhere(hunt: Hunt, process: Any, draw: random.Random) -> bool:
    """Kill once the detector has seen a few more pictures, or soon; return whether it was still running.

    Only the leader is killed: its workers have to notice.
    """
    enough = sum(hunt.shown().values()) + draw.randint(0, 6)
    deadline = time.monotonic() + 60
    while process.is_alive() and sum(hunt.shown().values()) < enough and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.08))
    was_running = bool(process.is_alive())
    process.kill()
    process.join(30)
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members(process.pid) == []
    return was_running


@pytest.mark.parametrize(
    ("executor", "num_workers", "num_kills", "seed"),
    [("inline", 1, 18, 1), ("process", 2, 2, 3)],
)
def test_a_kill_costs_the_items_in_hand(
    executor: str, num_workers: int, num_kills: int, seed: int, calm: Hunt, source: Path, tmp_path: Path
) -> None:
    draw = random.Random(seed)
    hunt = Hunt(tmp_path / "workspace", source, executor)
    before: set[str] = set()
    kills = 0
    for _ in range(num_kills):
        process = hunt.start()
        kills += kill_somewhere(hunt, process, draw)
        stored = hunt.stored()
        assert stored >= before
        assert sum(hunt.shown().values()) - len(stored) <= kills * num_workers
        assert hunt.output() in ({}, calm.output())
        before = stored
    assert kills >= num_kills // 2
    assert hunt.finish() == calm.output()
    assert hunt.refused() == calm.refused()
    assert len(hunt.shown()) == NUM_PICTURES
    assert sum(hunt.shown().values()) <= NUM_PICTURES + kills * num_workers


def members(group: int) -> list[int]:
    """Return the processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found
