"""What a GPU gives: parity with the CPU, images a second against a bare forward, videos an hour.

It takes less than 8 minutes. The packaged model scores real faces; nothing is downloaded. Exit status: 0
where the scores agree, 1 where they do not, 3 where there is no GPU. `--cpu` tries the script on the CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from deepfakestream.host.device import resolve_device
from deepfakestream.media.types import MediaBudget
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.files import load_network
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import open_scorer
from deepfakestream.model.spec import DetectorSpec
from deepfakestream.scanning.engine import ScanEngine, open_engine
from infra.gpu.samples import face_crops, write_clip, write_picture

MAX_DIFFERENCE = 1e-2
"""Largest difference of two probabilities that counts as the same."""
NO_GPU = 3
BATCH_SIZES = (16, 64, 256)
"""Of the bare forward: the best counts."""


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.gpu", description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="run on the CPU: a trial of the script")
    parser.add_argument("--seconds", type=float, default=40.0, help="length of each measurement")
    parser.add_argument("--crops", type=int, default=256, help="faces whose scores are compared")
    options = parser.parse_args(arguments)
    if not options.cpu and not torch.cuda.is_available():
        say("There is no GPU that PyTorch can use: nothing was measured. --cpu runs a trial on the CPU.")
        return NO_GPU
    device = "cpu" if options.cpu else resolve_device("cuda")
    name = "CPU (a trial: no figure below is a GPU's)" if options.cpu else torch.cuda.get_device_name()
    say(f"{name}; {len(os.sched_getaffinity(0))} cores; PyTorch {torch.__version__}, timm {timm.__version__}")
    directory = packaged_model_dir()
    spec = open_scorer(directory, device="cpu").spec
    crops = face_crops(options.crops, spec.extraction)
    difference = parity(directory, crops, device)
    agrees = difference <= MAX_DIFFERENCE
    say(
        f"parity: {len(crops)} faces, largest difference in probability {difference:.2e} "
        f"({'at most' if agrees else 'MORE THAN'} {MAX_DIFFERENCE:g})"
    )
    throughput(directory, spec, crops, device, options.seconds)
    with TemporaryDirectory() as folder:
        engine = open_engine(directory, "0", operating_point="balanced", device=device, budget=MediaBudget())
        picture, clip = write_picture(Path(folder)), write_clip(Path(folder))
        images_s = scans_a_second(engine, picture, options.seconds)
        videos_s = scans_a_second(engine, clip, options.seconds)
    say(
        f"whole scans, decoding and search for faces included: {images_s:.1f} images a second; "
        f"{3600 * videos_s:.0f} videos an hour (10 s, 1280 x 720)"
    )
    return 0 if agrees else 1


def parity(directory: Path, crops: NDArray[np.uint8], device: str) -> float:
    """Return the largest difference between the probabilities of ONNX Runtime on the CPU and PyTorch.

    Args:
        directory: model folder.
        crops: `(N, S, S, 3)` RGB.
        device: of PyTorch.
    """
    scorer = open_scorer(directory, device="cpu")
    logits = scorer.logits(crops)
    others = (
        open_scorer(directory, device=device).logits(crops)
        if device == "cuda"
        else torch_logits(directory, crops)
    )
    calibration = scorer.spec.calibration
    here, there = (calibrate(each.astype(np.float64), calibration) for each in (logits, others))
    return float(np.abs(here - there).max())


def torch_logits(directory: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits of PyTorch on the CPU."""
    network, _ = load_network(directory)
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        return np.concatenate([network(part).numpy() for part in pixels.split(4)])


def throughput(
    directory: Path, spec: DetectorSpec, crops: NDArray[np.uint8], device: str, seconds: float
) -> None:
    """Print faces a second of the scorer, and pictures a second of its backbone alone, as timm makes it."""
    network, _ = load_network(directory)
    passes = len(network.streams) * (2 if network.flip_tta else 1)
    size_px = spec.extraction.crop_size_px
    backbone = timm.create_model(spec.network.backbone, pretrained=False).eval().to(device)
    backbone = backbone.to(memory_format=torch.channels_last)
    bare = {}
    for batch in BATCH_SIZES if device == "cuda" else (4,):
        pixels = torch.randn(batch, 3, size_px, size_px, device=device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        bare[batch] = batch * rate_of(partial(backbone, pixels), device, seconds / len(BATCH_SIZES))
        say(f"bare {spec.network.backbone}, batch {batch}: {bare[batch]:.0f} pictures a second")
    scorer = open_scorer(directory, device=device)
    faces_s = len(crops) * rate_of(lambda: scorer.logits(crops), device, seconds)
    best = max(bare.values())
    say(
        f"scorer, from crops in memory to logits: {faces_s:.0f} faces a second of {passes} passes each; "
        f"passes a second over the bare forward: {passes * faces_s / best:.2f}"
    )


def rate_of(call: Callable[[], object], device: str, seconds: float) -> float:
    """Return how often a call can be made a second; the first does not count."""
    with torch.inference_mode():
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        began_at, count = time.perf_counter(), 0
        while not count or time.perf_counter() - began_at < seconds:
            call()
            count += 1
            if device == "cuda":
                torch.cuda.synchronize()
        return count / (time.perf_counter() - began_at)


def scans_a_second(engine: ScanEngine, path: Path, seconds: float) -> float:
    """Return how many scans of a file all cores and the device do a second."""
    threads = len(os.sched_getaffinity(0))
    engine.scan(path)
    began_at = time.perf_counter()

    def scan() -> int:
        count = 0
        while not count or time.perf_counter() - began_at < seconds:
            if engine.scan(path).p_fake is None:
                raise RuntimeError(f"{path.name}: no face was found")
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        counts = [task.result() for task in [pool.submit(scan) for _ in range(threads)]]
    return sum(counts) / (time.perf_counter() - began_at)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
