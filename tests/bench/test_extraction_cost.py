"""Cost of extraction: ten times the videos, or a video ten times as long; time and memory, `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from deepfakestream.data.manifest import to_frame, write_manifest

NUMBERS = (1, 8, 80, 200)
CLIP_FRAMES = 50

# In a process of its own: the highest memory a process ever had cannot be reset.
MEASURE = """
import json, resource, sys, time
from pathlib import Path
from deepfakestream.params import load_params
from deepfakestream.pipeline import extract
from deepfakestream.settings import Settings

if __name__ == "__main__":
    settings = Settings(workspace=Path(sys.argv[1]), device="cpu", executor="process", num_workers=1)
    params = load_params(Path(sys.argv[2])).extract
    started = time.monotonic()
    report = extract.run(params, settings=settings)
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    mib = [usage.ru_maxrss / 1024 for usage in usages]
    processor = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    print(json.dumps({"cpu_s": processor, "wall_s": time.monotonic() - started,
                      "mib": mib, "crops": report.num_crops}))
"""


def workspace(root: Path, clips: list[bytes]) -> Path:
    """Make a workspace whose items are these clips; each has its own digest."""
    media = root / "data" / "media"
    media.mkdir(parents=True)
    rows = []
    for number, content in enumerate(clips):
        (media / f"{number}.mp4").write_bytes(content)
        rows.append(
            {
                "media_id": f"{number:064x}",
                "path": f"media/{number}.mp4",
                "kind": "video",
                "label": "real",
                "manipulation": "none",
                "group_id": str(number),
                "split": "train",
                "source": "bench",
                "original_name": f"{number}.mp4",
            }
        )
    frame: pd.DataFrame = to_frame(rows)
    write_manifest(root / "data", frame)
    return root


def measure(root: Path) -> dict[str, float]:
    script = root / "measure.py"
    script.write_text(MEASURE)
    params = Path(__file__).parents[2] / "params.yaml"
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(params)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "parent_mib": found["mib"][0], "worker_mib": found["mib"][1]}


@pytest.mark.bench
def test_cost_is_linear_and_memory_bounded(tmp_path: Path, astronaut, encode_clip) -> None:
    views = [astronaut[i : i + 400, i : i + 400] for i in range(CLIP_FRAMES)]
    short = encode_clip(tmp_path / "short.mp4", views).read_bytes()
    long = encode_clip(tmp_path / "long.mp4", views * 10).read_bytes()
    sets = {f"{number} clips": [short] * number for number in NUMBERS} | {"1 clip, 10 times as long": [long]}
    found = {
        name: measure(workspace(tmp_path / str(i), clips)) for i, (name, clips) in enumerate(sets.items())
    }
    one, few, many, most, long_one = found.values()
    # Between sets, not from one clip: a start varies by more than seven clips cost.
    costs = dict(zip(NUMBERS, found.values(), strict=False))
    early_s, late_s = (
        (costs[more]["cpu_s"] - costs[less]["cpu_s"]) / (more - less) for less, more in ((8, 80), (80, 200))
    )
    lines = ["", "Extraction with one worker: processor time and the most memory of the step and its worker"]
    for name, cost in found.items():
        lines.append(
            f"{name:>24}: {cost['cpu_s']:6.1f} s, {cost['crops']:5} crops, "
            f"step {cost['parent_mib']:4.0f} MiB, worker {cost['worker_mib']:4.0f} MiB"
        )
    lines.append(f"a clip more: {early_s:.3f} s from 8 to 80, {late_s:.3f} s from 80 to 200")
    for role in ("parent", "worker"):
        growth = ", ".join(f"{cost[f'{role}_mib'] / one[f'{role}_mib']:.2f}" for cost in (few, many, most))
        lines.append(f"memory of the {'step' if role == 'parent' else role} by that of one clip: {growth}")
    sys.stdout.write("\n".join(lines) + "\n")
    assert late_s < 1.3 * early_s
    assert long_one["worker_mib"] < 1.1 * one["worker_mib"]
    # The step holds one shard of pictures, which the smaller sets do not fill.
    assert most["parent_mib"] < 1.1 * many["parent_mib"]
    # The worker's allocator keeps what decoding left in pieces: a fast rise at first, then a slow one.
    assert most["worker_mib"] < 1.15 * many["worker_mib"]
