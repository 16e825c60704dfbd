"""The script for GPUs, on a CPU: that it works, and what it says without a GPU."""

from __future__ import annotations

import re

import pytest
import torch

from infra.gpu.__main__ import MAX_DIFFERENCE, NO_GPU, main

pytestmark = pytest.mark.slow


def test_on_a_cpu_it_measures_everything(capsys):
    assert main(["--cpu", "--seconds", "0.5", "--crops", "4"]) == 0
    printed = capsys.readouterr().out
    assert "no figure below is a GPU's" in printed
    (difference,) = re.findall(r"largest difference in probability (\S+)", printed)
    assert 0 <= float(difference) <= MAX_DIFFERENCE
    for unit in (
        "pictures a second",
        "faces a second",
        "over the bare forward: ",
        "images a second",
        "videos an hour",
    ):
        assert unit in printed
    rates = [float(each) for each in re.findall(r"([\d.]+) (?:pictures|faces|images) a second", printed)]
    assert len(rates) == 3
    assert all(each > 0 for each in rates)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main([]) == NO_GPU
    assert "There is no GPU" in capsys.readouterr().out
