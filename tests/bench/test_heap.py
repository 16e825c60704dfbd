"""What a training step costs with and without `keep_freed_memory`, as a ratio of steps in two processes.

`python -m pytest tests/bench/test_heap.py -m bench -s`
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

ROUNDS = 3
STEPS = """
import sys, time
import torch
from deepfakestream.model.network import create_network
from deepfakestream.model.spec import NetworkSpec
from deepfakestream.training.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)
spec = NetworkSpec(
    variant="rgb", backbone="tf_efficientnet_lite0", global_pool="avg", drop_rate=0.2
)
network = create_network(spec).to(memory_format=torch.channels_last).train()
faces = (255 * torch.rand(32, 3, 224, 224)).contiguous(memory_format=torch.channels_last)
for step in range(5):
    if step == 2:
        started = time.perf_counter()
    network(faces).sum().backward()
print((time.perf_counter() - started) / 3)
"""


def _seconds_a_step(heap: str) -> float:
    run = subprocess.run([sys.executable, "-c", STEPS, heap], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_kept_memory_saves_page_faults() -> None:
    ratios, lines = [], [""]
    for _ in range(ROUNDS):
        given_back, kept = _seconds_a_step("given back"), _seconds_a_step("kept")
        ratios.append(given_back / kept)
        lines.append(f"32 faces of 224 px, one thread: {given_back:.2f} s given back, {kept:.2f} s kept")
    lines.append(f"times as fast: median {np.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    assert np.median(ratios) > 1.0
