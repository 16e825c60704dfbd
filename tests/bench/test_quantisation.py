"""Would int8 weights pay? Prints AUC and ms a face of the packaged graph and its int8 versions, from one run.

The rule: int8 is worth shipping if it loses at most 0.005 of the AUC and is faster on 2 cores. Run by
`make bench`, or alone: `python -m pytest tests/bench/test_quantisation.py -m bench -s`. With the optional
development data the faces are its validation crops, 800 of each class, and calibration sees training crops;
without it they are the demo's sample (`make sample FOLDER=build/sample`), where the AUC says little.
"""

from __future__ import annotations

import io
import re
import shutil
import statistics
import sys
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from deepfakestream.faces.crop import resize_square
from deepfakestream.model.aggregation import calibrate
from deepfakestream.model.half_graph import single_precision_graph
from deepfakestream.model.packaged import packaged_model_dir
from deepfakestream.model.scorer import FaceScorer, open_scorer
from deepfakestream.model.spec import read_spec

ROOT = Path(__file__).parents[2]
DFDC = ROOT.parent / "shared" / "data" / "dfdc-faces"
SAMPLE = ROOT / "build" / "sample" / "labelled"
MAX_AUC_LOSS = 0.005
NUM_CALIBRATION = 192
NUM_TIMED = 64
ROUNDS = 9
LAST_STAGE = 8


def _decode(jpeg: bytes, size_px: int) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return resize_square(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), size_px)


def _dfdc(split: str, size_px: int, *, limit: int) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(DFDC / "manifest.csv")
    chosen = table[table["split"] == split].groupby("label").head(limit // 2)
    images, labels = [], []
    for shard, rows in chosen.groupby("shard"):
        with tarfile.open(DFDC / str(shard)) as tar:
            for file, label in zip(rows["file"], rows["label"], strict=True):
                member = tar.extractfile(file)
                assert member is not None
                images.append(_decode(member.read(), size_px))
                labels.append(label == "fake")
    return np.stack(images), np.array(labels)


def _sample(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    paths = sorted(SAMPLE.rglob("*.jpg"))
    images = [_decode(path.read_bytes(), size_px) for path in paths]
    return np.stack(images), np.array(["-real" not in path.name for path in paths])


class _Batches:
    """Calibration data as onnxruntime's calibrator reads it."""

    def __init__(self, crops: np.ndarray) -> None:
        pixels = crops.transpose(0, 3, 1, 2).astype(np.float32)
        self._left = [{"pixels": pixels[start : start + 16]} for start in range(0, len(pixels), 16)]

    def get_next(self):
        return self._left.pop(0) if self._left else None


def _variants(folder: Path, crops: np.ndarray, work: Path) -> dict[str, Path]:
    """Return model folders with the graph as it is and in int8, by name."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(_Batches)
    plain, prepared = work / "plain.onnx", work / "prepared.onnx"
    plain.write_bytes(single_precision_graph(folder / "model.onnx"))
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    convolutions = [node for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
    made = {"fp32, as packaged": folder}

    def add(name: str, quantise) -> None:
        made[name] = work / name.replace(" ", "-").replace(",", "")
        shutil.copytree(folder, made[name])
        quantise(str(made[name] / "model.onnx"))

    def static(out: str, method: CalibrationMethod, skipped: list[str]) -> None:
        quantize_static(
            str(prepared),
            out,
            _Batches(crops),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            nodes_to_exclude=skipped,
            op_types_to_quantize=["Conv", "Gemm", "Add"],
        )

    add("int8 dynamic", lambda out: quantize_dynamic(str(prepared), out, weight_type=QuantType.QUInt8))
    add("int8 static, min-max", lambda out: static(out, CalibrationMethod.MinMax, []))
    # In every network and look, not the first of the whole graph: it holds them one after the other.
    for last, words in ((0, "noise kernels and stem"), (2, "stages 1 and 2 too"), (4, "stages 1 to 4 too")):
        kept = [node.name for node in convolutions if _stage(node.input[1]) <= last]
        name = f"int8 static, {words} fp32"
        add(name, lambda out, kept=kept: static(out, CalibrationMethod.MinMax, kept))
    return made


def _stage(weight: str) -> int:
    """Return the stage of a network that a convolution's weight belongs to; 0 is before the first."""
    if block := re.search(r"\.blocks\.(\d+)\.", weight):
        return int(block[1]) + 1
    return LAST_STAGE if "conv_head" in weight else 0


def _interleaved_ms(scorers: dict[str, FaceScorer], crops: np.ndarray) -> dict[str, float]:
    """Return the median ms a face of each scorer; they take turns, so that a busy machine slows all alike."""
    for scorer in scorers.values():
        scorer.logits(crops)
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(ROUNDS):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            scorer.logits(crops)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(times) / len(crops) for name, times in seconds.items()}


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")  # onnxruntime's quantiser warns about its own advice
@pytest.mark.timeout(1800)
def test_int8_against_fp32(tmp_path: Path) -> None:
    folder = packaged_model_dir()
    size_px = read_spec(folder).extraction.crop_size_px
    if DFDC.is_dir():
        crops, is_fake = _dfdc("val", size_px, limit=1600)
        calibration, _ = _dfdc("train", size_px, limit=NUM_CALIBRATION)
    elif SAMPLE.is_dir():
        crops, is_fake = _sample(size_px)
        calibration = crops[:: max(1, len(crops) // NUM_CALIBRATION)]
    else:
        pytest.skip("no faces: neither development data nor 'make sample FOLDER=build/sample'")
    folders = _variants(folder, calibration, tmp_path)
    scorers = {name: open_scorer(path, device="cpu") for name, path in folders.items()}
    ms = _interleaved_ms(scorers, crops[:NUM_TIMED])
    spec = read_spec(folder)
    logits = {name: scorer.logits(crops) for name, scorer in scorers.items()}
    aucs = {name: float(roc_auc_score(is_fake, found)) for name, found in logits.items()}
    called = {
        name: calibrate(found, spec.calibration) >= spec.operating_points["balanced"].threshold
        for name, found in logits.items()
    }
    base = next(iter(scorers))
    out = io.StringIO()
    out.write(f"\n{int((~is_fake).sum())} real and {int(is_fake.sum())} fake faces of {size_px} px\n")
    for name in scorers:
        loss, speed = aucs[base] - aucs[name], ms[base] / ms[name]
        pays = name != base and loss <= MAX_AUC_LOSS and speed > 1.0
        out.write(
            f"{name:<42} AUC {aucs[name]:.4f} (loss {loss:+.4f})  {ms[name]:6.2f} ms a face ({speed:.2f} x)  "
            f"{(folders[name] / 'model.onnx').stat().st_size / 1e6:.1f} MB, "
            f"{(called[name] != called[base]).mean():.1%} called otherwise{'; pays' if pays else ''}\n"
        )
    sys.stdout.write(out.getvalue())
    assert aucs[base] > 0.5
